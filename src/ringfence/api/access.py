"""What every route shares: the platform, who calls, and the name of what the route does."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict

from ringfence.app import Platform
from ringfence.errors import UnauthenticatedError
from ringfence.trust.domain import Action, Actor

ACTION = "x-ringfence-action"
_KEY_PREFIX = "rf_"


class RequestBody(BaseModel):
    """The base of every JSON body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def platform_of(request: Request) -> Platform:
    """Return the platform that this server faces."""
    platform: Platform = request.app.state.platform
    return platform


def authenticated(request: Request) -> Actor:
    """Return who calls, from a session token or an API key.

    Raises:
        UnauthenticatedError: no credential, or one that does not hold.
    """
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise UnauthenticatedError("session.missing", "This request carries no session token and no API key.",
                                   fix="Log in with `ringfence login`, or send `Authorization: Bearer <key>`.")
    identity, credential = platform_of(request).identity, credential.strip()
    if credential.startswith(_KEY_PREFIX):
        return identity.actor_from_key(credential)
    return identity.actor_from_token(credential)


ThePlatform = Annotated[Platform, Depends(platform_of)]
Caller = Annotated[Actor, Depends(authenticated)]


def does(action: Action) -> dict[str, Any]:
    """Return the route arguments that name what the route does, in the words of policy and trail."""
    return {"openapi_extra": {ACTION: action.value}}
