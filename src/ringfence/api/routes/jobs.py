"""Jobs: what was accepted and is being worked on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ringfence.api.access import Caller, ThePlatform, does
from ringfence.api.rendering import Json, shown
from ringfence.trust.domain import Action

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("/{identifier}", **does(Action.JOB_SHOW))
def show(identifier: str, platform: ThePlatform, actor: Caller, wait: Annotated[float, Query(ge=0, le=25)] = 0) -> Json:
    """Show a job, at the latest `wait` seconds later, sooner when it changes."""
    return shown(platform.jobs.show(actor, identifier, wait))
