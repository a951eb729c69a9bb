"""Endpoints: model versions being served."""

from __future__ import annotations

from fastapi import APIRouter

from ringfence.api.access import Caller, RequestBody, ThePlatform, does
from ringfence.api.rendering import Json, listed, shown
from ringfence.trust.domain import Action

router = APIRouter(prefix="/endpoints", tags=["endpoints"])


class Deployment(RequestBody):
    """Which model version (`name@3`) should answer under which name."""

    name: str
    model: str


@router.post("", status_code=201, **does(Action.ENDPOINT_DEPLOY))
def deploy(body: Deployment, platform: ThePlatform, actor: Caller) -> Json:
    """Serve a production model version."""
    return shown(platform.serving.deploy(actor, body.name, body.model))


@router.get("", **does(Action.ENDPOINT_LIST))
def list_(platform: ThePlatform, actor: Caller) -> Json:
    """List the project's endpoints."""
    return listed(platform.serving.list(actor))


@router.get("/{name}", **does(Action.ENDPOINT_SHOW))
def show(name: str, platform: ThePlatform, actor: Caller) -> Json:
    """Show one endpoint."""
    return shown(platform.serving.show(actor, name))
