"""Accounts and their API keys."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from ringfence.api.access import Caller, RequestBody, ThePlatform, does
from ringfence.api.rendering import Json, listed, shown
from ringfence.trust.domain import Action, Role

router = APIRouter(tags=["accounts"])


class NewAccount(RequestBody):
    """An account to create. A person without a password gets a random one, shown once."""

    name: str
    kind: Literal["person", "service"] = "person"
    roles: list[Role] = Field(min_length=1)
    password: str | None = None
    person: str = ""


class NewKey(RequestBody):
    """An API key to create; no scopes: all that the account's roles allow."""

    account: str
    scopes: tuple[str, ...] = ()
    days: int = Field(default=90, ge=1, le=365)


@router.post("/accounts", status_code=201, **does(Action.ACCOUNT_CREATE))
def create(body: NewAccount, platform: ThePlatform, actor: Caller) -> Json:
    """Create an account."""
    return shown(platform.identity.create_account(actor, name=body.name, kind=body.kind, roles=body.roles,
                                                  password=body.password, person=body.person))


@router.get("/accounts", **does(Action.ACCOUNT_LIST))
def list_(platform: ThePlatform, actor: Caller) -> Json:
    """List the project's accounts."""
    return listed(platform.identity.accounts(actor))


@router.post("/accounts/{name}/disable", **does(Action.ACCOUNT_DISABLE))
def disable(name: str, platform: ThePlatform, actor: Caller) -> Json:
    """End an account: its sessions and keys stop working at once."""
    platform.identity.disable(actor, name)
    return {"name": name, "disabled": True}


@router.post("/keys", status_code=201, **does(Action.KEY_CREATE))
def create_key(body: NewKey, platform: ThePlatform, actor: Caller) -> Json:
    """Create an API key; its secret is shown this once."""
    return shown(platform.identity.create_key(actor, account=body.account, scopes=body.scopes, days=body.days))


@router.delete("/keys/{identifier}", status_code=204, **does(Action.KEY_REVOKE))
def revoke_key(identifier: str, platform: ThePlatform, actor: Caller) -> Response:
    """Revoke an API key at once."""
    platform.identity.revoke_key(actor, identifier)
    return Response(status_code=204)
