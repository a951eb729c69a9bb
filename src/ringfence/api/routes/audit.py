"""The trail: search it, take it away, verify it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from ringfence.api.access import Caller, ThePlatform, does
from ringfence.api.rendering import Json, listed, shown
from ringfence.trust.domain import Action

router = APIRouter(prefix="/audit", tags=["audit"])

Word = Annotated[str | None, Query(max_length=200)]


class Search(BaseModel):
    """What records to return. `after` is a record's number (or 0): those that follow it, in order; without it the
    newest come, and the newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actor: Word = None
    action: Word = None
    resource: Word = None
    outcome: Word = None
    after: int | None = None
    limit: Annotated[int, Query(ge=1, le=1000)] = 100


@router.get("", **does(Action.AUDIT_SEARCH))
def search(platform: ThePlatform, actor: Caller, wanted: Annotated[Search, Query()]) -> Json:
    """Return records that match: the newest first, or with `after` those that follow it."""
    return listed(platform.audit.search(actor, by=wanted.actor, action=wanted.action, resource=wanted.resource,
                                        outcome=wanted.outcome, after=wanted.after, limit=wanted.limit))


@router.get("/export", response_class=StreamingResponse, **does(Action.AUDIT_EXPORT))
def export(platform: ThePlatform, actor: Caller) -> StreamingResponse:
    """Return the whole trail as JSON lines: a header with the public key, the records, a signed checkpoint."""
    lines = iter(platform.audit.export(actor))
    first = next(lines, "")  # the gate decides before the first byte, so that a refusal is a 403
    return StreamingResponse(_ended(chain([first], lines)), media_type="application/x-ndjson")


@router.get("/verification", **does(Action.AUDIT_VERIFY))
def verification(platform: ThePlatform, actor: Caller) -> Json:
    """Verify the stored chain."""
    return shown(platform.audit.verify(actor))


@router.get("/key")
def key(platform: ThePlatform, _: Caller) -> Json:
    """Return the public key that verifies exports."""
    return {"pem": platform.audit.public_key().decode()}


def _ended(lines: Iterator[str]) -> Iterator[str]:
    return (line if line.endswith("\n") else f"{line}\n" for line in lines)
