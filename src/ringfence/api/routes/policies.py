"""The project's own rules."""

from __future__ import annotations

from fastapi import APIRouter

from ringfence.api.access import Caller, RequestBody, ThePlatform, does
from ringfence.api.rendering import Json, listed, shown
from ringfence.trust.domain import Action

router = APIRouter(prefix="/policies", tags=["policies"])


class NewPolicy(RequestBody):
    """A Rego module of the package `ringfence.project.*`; it can only deny."""

    name: str
    rego: str


@router.post("", status_code=201, **does(Action.POLICY_ADD))
def add(body: NewPolicy, platform: ThePlatform, actor: Caller) -> Json:
    """Add a rule module to the project."""
    return shown(platform.policies.add(actor, body.name, body.rego))


@router.get("", **does(Action.POLICY_LIST))
def list_(platform: ThePlatform, actor: Caller) -> Json:
    """List the project's rule modules."""
    return listed(platform.policies.list(actor))
