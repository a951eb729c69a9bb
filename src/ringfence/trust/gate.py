"""The one door: policy decides, the verb acts, the trail records.

- `act`: a verb whose whole effect is in the database: decision, rows and record in one transaction.
- `read`: the record is durable before the first byte leaves.
- `intend`: a verb that acts outside the database: a durable intent, an idempotent act, its outcome; what was in
  flight when the process died is settled by `reconcile` at the next start.
A refusal or a failure is recorded in a transaction of its own, as the verb's is rolled back.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ringfence.errors import ConflictError, DeniedError, RingfenceError
from ringfence.storage.database import Base, Database
from ringfence.trust.domain import Action, Actor, AuditEvent, Decision, Outcome, PolicyInput, Resource
from ringfence.trust.owner import alive, this_process

log = logging.getLogger(__name__)


class PolicyEngine(Protocol):
    """Decides. Thread-safe. Raises UnavailableError when it can't decide: then nothing is allowed."""

    def decide(self, question: PolicyInput) -> Decision:
        """Return the decision of the current bundle."""


class Trail(Protocol):
    """Records. An append that can't be made raises, and so fails the verb."""

    def append(self, session: Session, event: AuditEvent) -> None:
        """Chain one record in the caller's transaction."""


class IntentRow(Base):
    """An act outside the database that was allowed and whose outcome is not known yet."""

    __tablename__ = "gate_intents"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    action: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(Text)
    resource: Mapped[str] = mapped_column(Text)
    details: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(String(120))  # the process whose act it is: see trust/owner.py
    opened_at: Mapped[str] = mapped_column(String(40))


@dataclass
class Permit:
    """Leave to act: the transaction to act in, and what to add to the record."""

    session: Session
    actor: Actor
    details: dict[str, Any] = field(default_factory=dict)

    def record(self, **details: Any) -> None:
        """Add to the audit record: digests, counts, names."""
        self.details.update(details)


class Intent:
    """An allowed act outside the database, in flight."""

    def __init__(self, gate: Gate, identifier: str, event: AuditEvent) -> None:
        self.id = identifier
        self._gate, self._event = gate, event
        self._details: dict[str, Any] = {}
        self.completed = False

    def record(self, **details: Any) -> None:
        """Add to the audit record of the outcome."""
        self._details.update(details)

    @contextmanager
    def completing(self) -> Iterator[Session]:
        """Open the transaction that writes the verb's rows together with the record of its outcome.

        Raises:
            ConflictError: the intent was settled by somebody else meanwhile; the rows are rolled back.
        """
        with self._gate.database.transaction() as session:
            yield session
            self._gate.close_intent(session, self.id, self._event, "done", self._details)
        self.completed = True


@dataclass(frozen=True)
class OpenIntent:
    """An intent that a dead process left behind."""

    id: str
    action: Action
    resource: Resource
    details: Mapping[str, Any]


Settler = Callable[[OpenIntent], str]
"""Finishes or undoes one act, idempotently; returns what it found for the record: `done`, or how it was undone."""


@dataclass
class _Attempt:
    question: PolicyInput
    decision: Decision | None = None

    def event(self, outcome: Outcome, details: Mapping[str, Any], reasons: tuple[str, ...] | None = None) -> AuditEvent:
        asked, decision = self.question, self.decision or Decision(False, (), "")
        return AuditEvent(asked.actor, asked.action, asked.resource, outcome,
                          decision.reasons if reasons is None else reasons, str(asked.context.get("purpose") or ""),
                          details, asked.context, decision.bundle)

    def refusal(self, error: DeniedError) -> AuditEvent:
        """The refusal is policy's, or that of a rule inside the verb, whose own sentence then is the reason."""
        own = self.decision is not None and not self.decision.allowed
        return self.event("denied", {}, None if own else (error.message,))


class Gate:
    """See the module's text. `context` goes to policy and into the record: digests, counts and names only."""

    def __init__(self, database: Database, engine: PolicyEngine, trail: Trail) -> None:
        self.database = database
        self._engine, self._trail = engine, trail

    @contextmanager
    def act(self, actor: Actor, action: Action, resource: Resource,
            context: Mapping[str, Any] | None = None) -> Iterator[Permit]:
        """Decide, act and record in one transaction.

        Raises:
            DeniedError: policy refused; its reasons say what would satisfy it.
        """
        with self._attempt(actor, action, resource, context) as attempt, self.database.transaction() as session:
            self._require(attempt)
            permit = Permit(session, actor)
            yield permit
            session.flush()
            self._trail.append(session, attempt.event("done", permit.details))

    @contextmanager
    def read(self, actor: Actor, action: Action, resource: Resource,
             context: Mapping[str, Any] | None = None) -> Iterator[Session]:
        """Decide and record durably, then open a snapshot to read from.

        Raises:
            DeniedError: as `act`.
        """
        with self._attempt(actor, action, resource, context) as attempt:
            self._require(attempt)
            with self.database.transaction() as session:
                self._trail.append(session, attempt.event("read", {}))
        with self.database.reading() as session:
            yield session

    @contextmanager
    def intend(self, actor: Actor, action: Action, resource: Resource,
               context: Mapping[str, Any] | None = None, details: Mapping[str, Any] | None = None,
               ) -> Iterator[Intent]:
        """Decide and record a durable intent; the block acts, then opens `intent.completing()`.

        `details` is what a settler needs to finish or undo the act after a crash.

        Raises:
            DeniedError: as `act`.
        """
        with self._attempt(actor, action, resource, context) as attempt:
            self._require(attempt)
            identifier = str(uuid.uuid4())
            event = attempt.event("intended", {"intent": identifier, **(details or {})})
            with self.database.transaction() as session:
                session.add(_intent_row(identifier, event, details or {}))
                self._trail.append(session, event)
        intent = Intent(self, identifier, event)
        try:
            yield intent
            if not intent.completed:
                with intent.completing():
                    pass
        except Exception as error:
            if not intent.completed:
                self._fail_intent(identifier, event, error)
            raise

    def close_intent(self, session: Session, identifier: str, event: AuditEvent, outcome: Outcome,
                     details: Mapping[str, Any]) -> None:
        """Record an intent's outcome and forget it, in the caller's transaction.

        Raises:
            ConflictError: it is not open any more: its outcome stands in the trail already.
        """
        row = session.get(IntentRow, identifier)
        if row is None:
            raise ConflictError("gate.settled", f"What {event.action.value} began on {event.resource.name} was settled "
                                "by another process.", fix="Look at its outcome in the audit trail, then try again.")
        session.delete(row)
        session.flush()
        self._trail.append(session, replace(event, outcome=outcome, details={"intent": identifier, **details}))

    def reconcile(self, actor: Actor, settlers: Mapping[Action, Settler]) -> int:
        """Settle every intent whose process has died; return how many there were.

        `actor` is the platform's own service account: it stands in the record of what was found. A settler that
        raises leaves its intent for the next start.
        """
        with self.database.reading() as session:
            rows = list(session.scalars(select(IntentRow).order_by(IntentRow.opened_at)))
        orphans = [row for row in rows if not alive(row.owner)]
        for row in orphans:
            self._settle(actor, row, settlers.get(Action(row.action)))
        return len(orphans)

    def _settle(self, actor: Actor, row: IntentRow, settler: Settler | None) -> None:
        action, resource = Action(row.action), Resource(**json.loads(row.resource))
        found = settler(OpenIntent(row.id, action, resource, json.loads(row.details))) if settler else "abandoned"
        event = AuditEvent(actor, action, resource, "failed", ("its process died; settled by another",))
        with self.database.transaction() as session:
            if session.get(IntentRow, row.id) is not None:
                self.close_intent(session, row.id, event, "done" if found == "done" else "failed",
                                  {"found": found, "on_behalf_of": row.actor})

    def _fail_intent(self, identifier: str, event: AuditEvent, error: Exception) -> None:
        with self.database.transaction() as session:
            if session.get(IntentRow, identifier) is not None:
                self.close_intent(session, identifier, event, "failed", {"error": _code(error)})

    def _require(self, attempt: _Attempt) -> None:
        question = attempt.question
        attempt.decision = self._engine.decide(question)
        if attempt.decision.allowed is not True:
            reasons = " ".join(attempt.decision.reasons) or "No rule allows it."
            raise DeniedError(
                "policy.denied",
                f"{_who(question)} may not {question.action.value} {question.resource.name}: {reasons}",
                fix="Ask someone whose role allows it, or satisfy the rule named.", field=question.action.value)

    @contextmanager
    def _attempt(self, actor: Actor, action: Action, resource: Resource, context: Mapping[str, Any] | None,
                 ) -> Iterator[_Attempt]:
        attempt = _Attempt(PolicyInput(actor, action, resource, dict(context or {})))
        try:
            yield attempt
        except DeniedError as error:
            self._record_alone(attempt.refusal(error))
            raise
        except Exception as error:
            self._record_alone(attempt.event("failed", {"error": _code(error)}))
            raise

    def _record_alone(self, event: AuditEvent) -> None:
        with self.database.transaction() as session:
            self._trail.append(session, event)


def _intent_row(identifier: str, event: AuditEvent, details: Mapping[str, Any]) -> IntentRow:
    return IntentRow(id=identifier, action=event.action.value, actor=event.actor.id,
                     resource=json.dumps(event.resource.as_input()), details=json.dumps(dict(details)),
                     owner=this_process(), opened_at=datetime.now(UTC).isoformat())


def _who(question: PolicyInput) -> str:
    submitter = question.context.get("on_behalf_of")
    name = question.actor.name or "An unauthenticated caller"
    return f"{name} (for {submitter['name']})" if isinstance(submitter, Mapping) and "name" in submitter else name


def _code(error: Exception) -> str:
    return error.code if isinstance(error, RingfenceError) else type(error).__name__
