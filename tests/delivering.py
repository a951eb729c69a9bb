"""A process that appends and delivers without end, for tests that kill it: `python -m tests.delivering HOME`."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

from ringfence.trust.audit.sink_file import FileSink
from ringfence.trust.audit.upkeep import Deliverer
from ringfence.trust.domain import Action, Actor, AuditEvent, Resource
from tests.trusted import Trusted, trusted

LARGEST = 6000  # bytes: a rotation every few records
DANA = Actor("account-dana", "dana", "person", frozenset({"viewer"}), "default")


def append(parts: Trusted, number: int = 1, note: str = "x") -> None:
    """Append records to the trail, each in a transaction."""
    for _ in range(number):
        with parts.database.transaction() as session:
            parts.trail.append(session, AuditEvent(DANA, Action.RUN_SHOW, Resource("run", "r"), "done",
                                                   details={"note": note}))


def file_deliverer(parts: Trusted, largest: int = LARGEST) -> Deliverer:
    """Return what delivers to the home's file sink."""
    folder = parts.home / "audit"
    return Deliverer(parts.database, parts.trail.public_key, FileSink(folder, largest), folder / "file.lock")


def _append_without_end(parts: Trusted) -> None:
    while True:
        append(parts, random.randint(1, 9), "x" * random.randint(1, 900))
        with parts.database.transaction() as session:
            parts.trail.checkpoint(session)


def main() -> None:
    """Deliver for ever what a thread appends."""
    with trusted(Path(sys.argv[1])) as parts:
        threading.Thread(target=_append_without_end, args=(parts,), daemon=True).start()
        deliverer = file_deliverer(parts)
        while True:
            deliverer.deliver()
            print("delivered", flush=True)


if __name__ == "__main__":
    main()
