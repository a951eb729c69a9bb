"""Simulators: bundles that agents learn in."""

from __future__ import annotations

from fastapi import APIRouter, Request

from ringfence.api.access import Caller, ThePlatform, does
from ringfence.api.body import BodyStream
from ringfence.api.rendering import Json, listed, shown
from ringfence.trust.domain import Action

router = APIRouter(prefix="/simulators", tags=["simulators"])


@router.post("", status_code=202, **does(Action.SIMULATOR_BUILD))
def build(request: Request, platform: ThePlatform, actor: Caller) -> Json:
    """Hand in a bundle (a deterministic tar); a job inspects it in a fence and admits or refuses it."""
    return shown(platform.simulators.build(actor, BodyStream(request)))


@router.get("", **does(Action.SIMULATOR_LIST))
def list_(platform: ThePlatform, actor: Caller) -> Json:
    """List the admitted simulators."""
    return listed(platform.simulators.list(actor))


@router.get("/{reference}", **does(Action.SIMULATOR_SHOW))
def show(reference: str, platform: ThePlatform, actor: Caller) -> Json:
    """Show one simulator, by name or digest."""
    return shown(platform.simulators.show(actor, reference))


@router.get("/{reference}/sbom", **does(Action.SIMULATOR_SHOW))
def sbom(reference: str, platform: ThePlatform, actor: Caller) -> Json:
    """Show a simulator's bill of materials (CycloneDX 1.6)."""
    return platform.simulators.sbom(actor, reference)


@router.get("/{reference}/verification", **does(Action.SIMULATOR_SHOW))
def verification(reference: str, platform: ThePlatform, actor: Caller) -> Json:
    """Verify what is stored: the admission's signature, the bundle's digest, the bill of materials."""
    return shown(platform.simulators.verify(actor, reference))


@router.delete("/{reference}", **does(Action.SIMULATOR_REMOVE))
def remove(reference: str, platform: ThePlatform, actor: Caller) -> Json:
    """Remove a simulator that no run uses, named by version or digest."""
    return shown(platform.simulators.remove(actor, reference))
