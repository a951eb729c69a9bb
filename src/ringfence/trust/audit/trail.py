"""The trail: appends in the caller's transaction, so that an act and its record are one; signs checkpoints."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from ringfence.errors import TamperedError, UnavailableError
from ringfence.trust.audit.chain import FORMAT, GENESIS, canonical, header_line, record_hash, record_line, signed_bytes
from ringfence.trust.audit.tables import TRIGGERS, AuditRow, CheckpointRow
from ringfence.trust.domain import AuditEvent
from ringfence.trust.keys.keys import Keys
from ringfence.trust.request import current_request

EVERY_RECORDS, EVERY_SECONDS = 1000, 60.0
_LARGEST = 32_768  # bytes of one record's details and context; beyond it their digest is recorded
_PAGE = 500
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditRecord:
    """One record as it was written, with its place in the chain."""

    seq: int
    hash: str
    record: Mapping[str, Any]


class AuditTrail:
    """Implements the gate's `Trail`. Safe for use by many threads and processes."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._checkpoint_due = 0.0

    def append(self, session: Session, event: AuditEvent) -> None:
        """Chain one record in the caller's transaction, and a signed checkpoint where one is due.

        Raises:
            UnavailableError: the event can't be written down (`audit.unrecordable`), or the checkpoint not signed.
        """
        seq, previous = _tip(session)
        record = _record(seq + 1, event)
        digest = record_hash(previous, record)
        columns = _columns(json.loads(record))
        session.add(AuditRow(seq=seq + 1, hash=digest, previous=previous, record=record, **columns))
        session.flush()
        if (seq + 1) % EVERY_RECORDS == 0 or time.monotonic() >= self._checkpoint_due:
            self.checkpoint(session)

    def checkpoint(self, session: Session) -> dict[str, Any]:
        """Sign and store that the chain is where it is; return the checkpoint. One that exists is returned again."""
        seq, digest = _tip(session)
        existing = session.get(CheckpointRow, seq)
        if existing is not None:
            return dict(json.loads(existing.checkpoint))
        checkpoint = self._signed("interval", seq, digest)
        session.add(CheckpointRow(seq=seq, checkpoint=canonical(checkpoint)))
        session.flush()
        self._checkpoint_due = time.monotonic() + EVERY_SECONDS
        return checkpoint

    def search(self, session: Session, *, actor: str | None = None, action: str | None = None,
               resource: str | None = None, outcome: str | None = None, project: str | None = None,
               after: int | None = None, limit: int = 100) -> list[AuditRecord]:
        """Return at most `limit` records (1 to 1000): those after the one with number `after`, in order; without it the
        newest, and the newest first.

        `actor` is an account's name or id; `action` a word such as `dataset.release`, or a noun (`dataset`).

        Raises:
            TamperedError: a row's columns contradict its record.
        """
        newest_first = after is None
        query = select(AuditRow).where(AuditRow.seq > (after or 0))
        if actor:
            query = query.where(or_(AuditRow.actor == actor, AuditRow.actor_name == actor))
        if action:
            exact = AuditRow.action == action
            query = query.where(exact if "." in action else AuditRow.action.startswith(f"{action}.", autoescape=True))
        for column, wanted in ((AuditRow.resource, resource), (AuditRow.outcome, outcome), (AuditRow.project, project)):
            if wanted:
                query = query.where(column == wanted)
        order = AuditRow.seq.desc() if newest_first else AuditRow.seq
        rows = session.scalars(query.order_by(order).limit(min(max(limit, 1), 1000)))
        return [AuditRecord(row.seq, row.hash, _consistent(row)) for row in rows]

    def export_lines(self, session: Session) -> Iterator[str]:
        """Yield the lines (without newlines) of an export of the session's snapshot: see `chain`.

        Raises:
            TamperedError: a row's columns contradict its record.
        """
        yield header_line(self.public_key())
        pending = {row.seq: row.checkpoint for row in session.scalars(select(CheckpointRow))}
        seq, digest = 0, GENESIS
        for row in _all_rows(session):
            _consistent(row)
            yield record_line(row.hash, row.previous, row.record)
            seq, digest = row.seq, row.hash
            if seq in pending:
                yield _line(json.loads(pending.pop(seq)))
        yield from (_line(json.loads(pending[left])) for left in sorted(pending))  # they vouch for rows not here
        yield _line(self._signed("export", seq, digest))

    def public_key(self) -> bytes:
        """Return the PEM that verifies checkpoints."""
        return self._keys.public_key("audit")

    def missing_guards(self, session: Session) -> tuple[str, ...]:
        """Return the names of SQLite triggers that should protect the trail and are not there, or were changed."""
        if session.get_bind().dialect.name != "sqlite":
            return ()
        rows = session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        found: dict[str, str] = {row.name: row.sql for row in rows}
        return tuple(name for name, sql in sorted(TRIGGERS.items()) if found.get(name) != sql)

    def _signed(self, kind: str, seq: int, digest: str) -> dict[str, Any]:
        checkpoint = {"format": FORMAT, "kind": kind, "seq": seq, "hash": digest, "time": _now()}
        return {**checkpoint, "signature": b64encode(self._keys.sign("audit", signed_bytes(checkpoint))).decode()}


def _tip(session: Session) -> tuple[int, str]:
    tip = session.execute(select(AuditRow.seq, AuditRow.hash).order_by(AuditRow.seq.desc()).limit(1)).first()
    return (tip.seq, tip.hash) if tip else (0, GENESIS)


def _record(seq: int, event: AuditEvent) -> str:
    request = current_request()
    actor = event.actor
    try:
        return canonical({
            "seq": seq, "time": _now(), "action": event.action.value, "outcome": event.outcome,
            "actor": {"id": actor.id, "name": actor.name, "kind": actor.kind, "roles": sorted(actor.roles)},
            "resource": {"kind": event.resource.kind, "name": event.resource.name}, "project": event.resource.project,
            "purpose": event.purpose, "reasons": list(event.reasons), "bundle": event.bundle,
            "request": {"id": request.id, "client": request.client},
            "context": _limited(event.context), "details": _limited(event.details)})
    except (TypeError, ValueError, RecursionError) as error:
        raise UnavailableError("audit.unrecordable", f"What {event.action.value} did can't be written into the trail.",
                               fix="This is a defect of the platform; nothing was done.") from error


def _limited(values: Mapping[str, Any]) -> dict[str, Any]:
    written = canonical(dict(values)).encode()
    if len(written) <= _LARGEST:
        return dict(values)
    return {"omitted": f"sha256:{hashlib.sha256(written).hexdigest()}", "bytes": len(written)}


def _columns(record: Mapping[str, Any]) -> dict[str, str]:
    actor, resource = record["actor"], record["resource"]
    return {"actor": _column(actor["id"], 64), "actor_name": _column(actor["name"], 200), "action": record["action"],
            "resource": _column(resource["name"], 300), "outcome": record["outcome"], "project": record["project"]}


def _column(text: str, longest: int) -> str:
    """A half of a surrogate pair is no text to a database; in the record itself it stands escaped."""
    return text[:longest].encode("utf-8", "replace").decode()


def _consistent(row: AuditRow) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(row.record)
    if any(getattr(row, name) != value for name, value in _columns(record).items()) or record["seq"] != row.seq:
        raise TamperedError("audit.tampered", f"The columns of audit record {row.seq} contradict its text.",
                            fix="Export the trail, verify it, and find out who can write to the database.")
    return record


def _all_rows(session: Session) -> Iterator[AuditRow]:
    last, query = 0, select(AuditRow).order_by(AuditRow.seq).limit(_PAGE)
    while rows := list(session.scalars(query.where(AuditRow.seq > last))):
        for row in rows:
            session.expunge(row)  # a trail is larger than memory
        yield from rows
        last = rows[-1].seq


def _line(checkpoint: Mapping[str, Any]) -> str:
    return canonical({"type": "checkpoint", **checkpoint})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
