"""Which objects a database says must be there. Each query gives (name, digest or ''), for one zone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ringfence.storage.blobs import Zone

Place = tuple[Zone, str]

_QUERIES: tuple[tuple[Zone, str], ...] = (
    (Zone.LANDING, "SELECT l.blob, l.digest FROM dataset_landings l JOIN datasets d ON d.landing = l.blob"),
    (Zone.LANDING, "SELECT example, '' FROM dataset_versions"),
    (Zone.PROCESSING, "SELECT blob, digest FROM dataset_versions"),
    (Zone.SIMULATORS, "SELECT blob, digest FROM simulators WHERE state NOT IN ('removing', 'removed')"),
    (Zone.MODELS, "SELECT 'model/' || run, digest FROM model_versions"),
)


def references(ask: Callable[[str], Iterable[Any]]) -> dict[Place, str]:
    """Return the digest (`sha256:...`, or '' where none is kept) of each object that the database needs.

    `ask` runs one SQL query and returns its rows.
    """
    return {(zone, str(row[0])): str(row[1]) for zone, query in _QUERIES for row in ask(query)}
