"""The port of audit sinks: where every committed record and checkpoint also goes. The database is the spool.

Entries come in the order in which they were committed. Each has a place: 0 is the export's header, 2n is record n, and
2n + 1 the checkpoint that vouches for record n. So one number says how far a sink is, and what it has twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ringfence.trust.audit.chain import canonical, header_line, record_line
from ringfence.trust.audit.tables import AuditRow, CheckpointRow

NOTHING = -1
"""The place of a sink that holds nothing yet."""


@dataclass(frozen=True)
class Entry:
    """A line of the export, without its newline; for a record also its hash and that of the one before it."""

    place: int
    line: str
    previous: str = ""
    hash: str = ""

    @property
    def seq(self) -> int:
        """Return the number of the record that it is, or vouches for."""
        return self.place // 2


@dataclass(frozen=True)
class Incident:
    """What a sink held was altered behind our back: when that was seen, and what was found."""

    time: str
    problem: str


@dataclass(frozen=True)
class SinkStatus:
    """How a sink does: the last record that it holds, how many it lacks, what is wrong now, and what was ever."""

    name: str
    delivered: int
    behind: int
    problem: str
    incidents: tuple[Incident, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


class Sink(Protocol):
    """A place outside the database that holds a copy of the trail. Used by one thread of one process at a time."""

    name: str

    def held(self) -> int:
        """Return the place of the last entry that the sink holds for good, from its own durable state.

        Raises:
            UnavailableError: the sink is down.
            TamperedError: what it held was altered; the incident is kept, and the sink may lie further back now.
        """

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Take entries that follow each other. On return each is held for good, once, in order, and whole.

        Idempotent: an entry at or before `held` is left out. After an error any part of them may have been taken; the
        same entries come again, perhaps from another process, until it returns. Called without entries when there is
        nothing new, so that the sink can look whether all is well.

        Raises:
            UnavailableError, TamperedError: as `held`; TamperedError also for a record that does not follow from the
                one before it.
        """

    def incidents(self) -> tuple[Incident, ...]:
        """Return what is known to have happened to it, oldest first."""

    def close(self) -> None:
        """Let go of files and connections."""


def entries_after(session: Session, public_key_pem: bytes, place: int, limit: int = 500) -> list[Entry]:
    """Return what was committed after `place`, in order: at most `limit` records with their checkpoints."""
    query = select(AuditRow).where(AuditRow.seq > place // 2).order_by(AuditRow.seq).limit(limit)
    found = [Entry(2 * row.seq, record_line(row.hash, row.previous, row.record), row.previous, row.hash)
             for row in session.scalars(query)]
    wanted = select(CheckpointRow).where(CheckpointRow.seq > (place - 1) // 2)
    if len(found) == limit:
        wanted = wanted.where(CheckpointRow.seq <= found[-1].seq)
    found += [Entry(2 * row.seq + 1, canonical({"type": "checkpoint", **json.loads(row.checkpoint)}))
              for row in session.scalars(wanted)]
    if place < 0:
        found.append(Entry(0, header_line(public_key_pem)))
    return sorted(found, key=lambda entry: entry.place)


def last_record(session: Session) -> int:
    """Return the number of the last record; 0 when there is none."""
    return session.scalar(select(func.max(AuditRow.seq))) or 0


def last_checkpoint(session: Session) -> int:
    """Return the number of the last record that a checkpoint vouches for; 0 when there is none."""
    return session.scalar(select(func.max(CheckpointRow.seq))) or 0


def place_of(line: str) -> int | None:
    """Return the place of a line of an export; None if it is no such line."""
    try:
        value = json.loads(line)
        if value.get("type") == "header":
            return 0
        seq = value["seq"] if value.get("type") == "checkpoint" else value["record"]["seq"]
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
    if type(seq) is not int or seq < 0:
        return None
    return int(2 * seq + (value.get("type") == "checkpoint"))
