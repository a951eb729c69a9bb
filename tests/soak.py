"""How often the kill and fuzz suites repeat themselves: a little in `make test`, a hundredfold in `make soak`."""

from __future__ import annotations

import os

SOAKING = bool(os.environ.get("RINGFENCE_SOAK"))


def times(few: int, many: int) -> range:
    """Return the repetitions: `few` in `make test`, `many` in `make soak`."""
    return range(many if SOAKING else few)
