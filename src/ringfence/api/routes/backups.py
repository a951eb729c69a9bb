"""Backups: everything that the platform keeps, as one encrypted stream."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from ringfence.api.access import Caller, RequestBody, ThePlatform, does
from ringfence.trust.domain import Action

router = APIRouter(prefix="/backups", tags=["backups"])


class Backup(RequestBody):
    """The key that will open the backup: 32 random bytes that the caller made, in their text form."""

    recovery_key: str


@router.post("", response_class=StreamingResponse, **does(Action.BACKUP_CREATE))
def create(body: Backup, platform: ThePlatform, actor: Caller) -> StreamingResponse:
    """Make a backup while the platform runs. What breaks off before its end opens as nothing."""
    return StreamingResponse(platform.backup.create(actor, body.recovery_key), media_type="application/octet-stream")
