"""Datasets: declare, land, classify, release."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from ringfence.api.access import Caller, RequestBody, ThePlatform, does
from ringfence.api.body import BodyStream
from ringfence.api.rendering import Json, listed, shown
from ringfence.trust.domain import Action

router = APIRouter(prefix="/datasets", tags=["datasets"])


class Declaration(RequestBody):
    """A data declaration in YAML."""

    declaration: str


@router.post("", status_code=201, **does(Action.DATASET_DECLARE))
def declare(body: Declaration, platform: ThePlatform, actor: Caller) -> Json:
    """Declare a dataset: what each column is and what becomes of it."""
    return shown(platform.data.declare(actor, body.declaration))


@router.get("", **does(Action.DATASET_LIST))
def list_(platform: ThePlatform, actor: Caller) -> Json:
    """List the project's datasets."""
    return listed(platform.data.list(actor))


@router.get("/{name}", **does(Action.DATASET_SHOW))
def show(name: str, platform: ThePlatform, actor: Caller) -> Json:
    """Show a dataset with its versions and findings."""
    return shown(platform.data.show(actor, name))


@router.put("/{name}/landing", status_code=202, **does(Action.DATASET_INGEST))
def ingest(name: str, request: Request, platform: ThePlatform, actor: Caller,
           x_content_sha256: Annotated[str | None, Header(pattern="^[0-9a-f]{64}$")] = None) -> Json:
    """Land a raw CSV file: the body goes straight into the encrypted landing zone."""
    return shown(platform.data.ingest(actor, name, BodyStream(request), x_content_sha256))


@router.get("/{name}/landing", **does(Action.DATASET_READ_RAW))
def read_raw(name: str, platform: ThePlatform, actor: Caller) -> Response:
    """Ask for the raw file. Policy refuses every person; the question is recorded."""
    platform.data.read_raw(actor, name)
    return Response(status_code=204)


@router.post("/{name}/classifications", status_code=202, **does(Action.DATASET_CLASSIFY))
def classify(name: str, platform: ThePlatform, actor: Caller) -> Json:
    """Find what identifies people in the landed file."""
    return shown(platform.data.classify(actor, name))


@router.post("/{name}/releases", status_code=202, **does(Action.DATASET_RELEASE))
def release(name: str, platform: ThePlatform, actor: Caller) -> Json:
    """De-identify, measure, and let policy decide on a new version."""
    return shown(platform.data.release(actor, name))
