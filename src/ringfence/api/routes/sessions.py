"""Who is it: the first administrator, logging in, and what the platform knows of the caller."""

from __future__ import annotations

from fastapi import APIRouter

from ringfence.api.access import Caller, RequestBody, ThePlatform, does
from ringfence.api.rendering import Json
from ringfence.trust.domain import Action
from ringfence.trust.request import current_request

router = APIRouter(tags=["sessions"])


class Bootstrap(RequestBody):
    """The one-time token that the platform wrote into its home, and the administrator to create."""

    token: str
    name: str
    password: str


class Credentials(RequestBody):
    """An account's name and password."""

    name: str
    password: str


@router.post("/bootstrap", status_code=201, **does(Action.PLATFORM_BOOTSTRAP))
def bootstrap(body: Bootstrap, platform: ThePlatform) -> Json:
    """Create the first account. The token is used up."""
    return platform.identity.bootstrap(body.token, body.name, body.password).as_input()


@router.post("/sessions", status_code=201, **does(Action.ACCOUNT_LOGIN))
def log_in(body: Credentials, platform: ThePlatform) -> Json:
    """Return a session token."""
    session = platform.identity.login(body.name, body.password, current_request().client)
    return {"token": session.token, "expires_at": session.expires_at.isoformat(), "actor": session.actor.as_input()}


@router.get("/whoami")
def whoami(actor: Caller) -> Json:
    """Say whom the credential stands for."""
    return actor.as_input()


@router.get("/keys/public/{purpose}")
def public_key(purpose: str, platform: ThePlatform, _: Caller) -> Json:
    """Return the public key that verifies the trail (`audit`) or the models (`models`)."""
    return {"purpose": purpose, "pem": platform.public_key(purpose).decode()}
