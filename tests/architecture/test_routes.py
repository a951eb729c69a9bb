"""Every route passes the gate: it knows its caller, and names the action that policy and trail know."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.routing import APIRoute

from ringfence.api.access import ACTION, authenticated
from ringfence.api.server import ROUTERS, create_app
from ringfence.settings import Settings
from ringfence.trust.domain import Action

# Routes that anybody may call: what they tell is nothing, or how one becomes somebody.
OPEN = {"POST /api/v1/bootstrap", "POST /api/v1/sessions", "GET /healthz", "GET /readyz", "GET /v2/health/live"}
# Routes that act on nothing: they tell a caller who it is, or give out public keys and the API's own description.
WITHOUT_ACTION = {"GET /api/v1/whoami", "GET /api/v1/keys/public/{purpose}", "GET /api/v1/audit/key",
                  "GET /healthz", "GET /readyz", "GET /v2/health/live"}


def routes() -> Iterator[tuple[str, APIRoute]]:
    for prefix, router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods):
                yield f"{method} {prefix}{route.path}", route


APP = create_app(SimpleNamespace(settings=Settings(home=Path("/nonexistent"))))  # type: ignore[arg-type]
EVERY = dict(routes())


def dependencies(dependant: Any) -> Iterator[Any]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from dependencies(inner)


def test_the_walk_sees_the_whole_application() -> None:
    described = {f"{method.upper()} {path}" for path, methods in APP.openapi()["paths"].items() for method in methods}
    assert set(EVERY) == described
    assert len(EVERY) > 35


@pytest.mark.parametrize("name", sorted(EVERY))
def test_it_knows_its_caller(name: str) -> None:
    known = authenticated in set(dependencies(EVERY[name].dependant))
    assert known != (name in OPEN)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_it_names_the_action_that_its_service_puts_to_the_gate(name: str) -> None:
    action = (EVERY[name].openapi_extra or {}).get(ACTION)
    if name in WITHOUT_ACTION:
        assert action is None
    else:
        assert action in {known.value for known in Action}


@pytest.mark.parametrize("name", sorted(set(EVERY) - OPEN - WITHOUT_ACTION))
def test_it_hands_the_caller_to_one_service_call(name: str) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(EVERY[name].endpoint)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)
             and ast.unparse(node.func).startswith("platform.")]
    assert len(calls) == 1
    assert ast.unparse(calls[0].args[0]) == "actor"


def test_the_lists_of_exceptions_name_routes_that_exist() -> None:
    assert set(EVERY) >= OPEN | WITHOUT_ACTION
