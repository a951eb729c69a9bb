"""Values of the domains as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi.encoders import jsonable_encoder

Json = dict[str, Any]


def shown(view: Any) -> Json:
    """Return one view as a JSON object: as it shows itself, or field by field."""
    body: Json = jsonable_encoder(view.as_json() if hasattr(view, "as_json") else view)
    return body


def listed(views: Iterable[Any]) -> Json:
    """Return a list of views as `{"items": [...]}`."""
    return {"items": [shown(view) for view in views]}
