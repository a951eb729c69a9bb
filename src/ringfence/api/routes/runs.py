"""Training runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ringfence.api.access import Caller, RequestBody, ThePlatform, does
from ringfence.api.rendering import Json, listed, shown
from ringfence.trust.domain import Action

router = APIRouter(prefix="/runs", tags=["runs"])


class Specification(RequestBody):
    """A run's specification in YAML (`kind: TrainingRun`)."""

    spec: str


@router.post("", status_code=202, **does(Action.RUN_SUBMIT))
def submit(body: Specification, platform: ThePlatform, actor: Caller) -> Json:
    """Submit a run."""
    return shown(platform.training.submit(actor, body.spec))


@router.get("", **does(Action.RUN_LIST))
def list_(platform: ThePlatform, actor: Caller) -> Json:
    """List the project's runs."""
    return listed(platform.training.list(actor))


@router.get("/{identifier}", **does(Action.RUN_SHOW))
def show(identifier: str, platform: ThePlatform, actor: Caller) -> Json:
    """Show a run: spec, state, result, provenance."""
    return shown(platform.training.show(actor, identifier))


@router.get("/{identifier}/metrics", **does(Action.RUN_SHOW))
def metrics(identifier: str, platform: ThePlatform, actor: Caller, after: Annotated[int, Query(ge=-1)] = -1) -> Json:
    """Return what the run measured after the metric number `after`."""
    return listed(platform.training.metrics(actor, identifier, after))
