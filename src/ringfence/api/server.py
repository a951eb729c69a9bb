"""The application: routers, errors, and the shell around them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio.to_thread
from fastapi import FastAPI

from ringfence import __version__
from ringfence.api import problems
from ringfence.api.routes import (
    accounts,
    audit,
    backups,
    datasets,
    endpoints,
    health,
    inference,
    jobs,
    models,
    policies,
    runs,
    sessions,
    simulators,
    status,
)
from ringfence.api.shell import Shell
from ringfence.app import Platform

PREFIX = "/api/v1"
_NOUNS = (sessions, accounts, policies, datasets, simulators, runs, models, endpoints, audit, jobs, status, backups)
ROUTERS = (*((PREFIX, noun.router) for noun in _NOUNS), ("", inference.router), ("", health.router))


def create_app(platform: Platform) -> FastAPI:
    """Return the ASGI application that faces `platform`."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = platform.settings.server.threads
        yield

    app = FastAPI(title="Ringfence", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
                  openapi_url=f"{PREFIX}/openapi.json", redirect_slashes=False)
    app.state.platform = platform
    for prefix, router in ROUTERS:
        app.include_router(router, prefix=prefix)
    problems.install(app)
    app.add_middleware(Shell, limits=platform.settings.limits)
    return app
