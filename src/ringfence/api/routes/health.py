"""For load balancers and supervisors: is the process alive, can it work. Nothing else is told."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import text

from ringfence.api.access import ThePlatform

router = APIRouter(tags=["health"])


@router.get("/healthz")
def alive() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def ready(platform: ThePlatform) -> dict[str, str]:
    """Say that the database answers too; 503 with the reason otherwise."""
    with platform.database.reading() as session:
        session.execute(text("SELECT 1"))
    return {"status": "ok"}
