"""The registry: model versions, their packages, and their promotion."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ringfence.api.access import Caller, RequestBody, ThePlatform, does
from ringfence.api.rendering import Json, listed, shown
from ringfence.trust.domain import Action

router = APIRouter(tags=["models"])


class Promotion(RequestBody):
    """Where a model version should stand, and why."""

    stage: str
    reason: str


class Approval(RequestBody):
    """Why a promotion is right."""

    reason: str


@router.get("/models", **does(Action.MODEL_LIST))
def list_(platform: ThePlatform, actor: Caller) -> Json:
    """List every model's versions."""
    return listed(platform.registry.list(actor))


@router.get("/models/{name}", **does(Action.MODEL_SHOW))
def show_latest(name: str, platform: ThePlatform, actor: Caller) -> Json:
    """Show the latest version of a model."""
    return shown(platform.registry.show(actor, name))


@router.get("/models/{name}/{version}", **does(Action.MODEL_SHOW))
def show(name: str, version: int, platform: ThePlatform, actor: Caller) -> Json:
    """Show one version: evaluation, stage, provenance."""
    return shown(platform.registry.show(actor, f"{name}@{version}"))


@router.get("/models/{name}/{version}/package", **does(Action.MODEL_DOWNLOAD))
def package(name: str, version: int, platform: ThePlatform, actor: Caller) -> Response:
    """Download the signed package."""
    content = platform.registry.package(actor, f"{name}@{version}")
    return Response(content, media_type="application/x-tar",
                    headers={"Content-Disposition": f'attachment; filename="model-{version}.tar"'})


@router.get("/models/{name}/{version}/verification", **does(Action.MODEL_DOWNLOAD))
def verification(name: str, version: int, platform: ThePlatform, actor: Caller) -> Json:
    """Verify the stored package against its signature."""
    return shown(platform.registry.verify(actor, f"{name}@{version}"))


@router.post("/models/{name}/{version}/promotions", status_code=201, **does(Action.MODEL_REQUEST_PROMOTION))
def request_promotion(name: str, version: int, body: Promotion, platform: ThePlatform, actor: Caller) -> Json:
    """Ask that a version be promoted."""
    return shown(platform.registry.request_promotion(actor, f"{name}@{version}", body.stage, body.reason))


@router.post("/promotions/{identifier}/approval", **does(Action.MODEL_PROMOTE))
def approve(identifier: str, body: Approval, platform: ThePlatform, actor: Caller) -> Json:
    """Approve somebody else's request."""
    return shown(platform.registry.approve(actor, identifier, body.reason))
