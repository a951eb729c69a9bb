"""How the platform does."""

from __future__ import annotations

from fastapi import APIRouter

from ringfence.api.access import Caller, ThePlatform, does
from ringfence.api.rendering import Json, shown
from ringfence.trust.domain import Action

router = APIRouter(prefix="/status", tags=["status"])


@router.get("", **does(Action.PLATFORM_SHOW))
def show(platform: ThePlatform, actor: Caller) -> Json:
    """Return the version, whether the worker lives, what the fences enforce here, and how far the audit sinks are."""
    return shown(platform.status.show(actor))
