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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ringfence.errors import DeniedError, RingfenceError
from ringfence.storage.database import Base, Database
from ringfence.trust.domain import Action, Actor, AuditEvent, Decision, Outcome, PolicyInput, Resource

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
    opened_at: Mapped[datetime]


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
        """Open the transaction that writes the verb's rows together with the record of its outcome."""
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
"""Finishes or undoes one act, idempotently; returns what it found, in words, for the record."""


class Gate:
    """See the module's text. `context` goes to policy and, masked by the trail, into the record."""

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
        question = PolicyInput(actor, action, resource, context or {})
        with self._recorded_failures(question), self.database.transaction() as session:
            decision = self._require(question)
            permit = Permit(session, actor)
            yield permit
            session.flush()
            self._trail.append(session, _event(question, "done", decision.reasons, permit.details))

    @contextmanager
    def read(self, actor: Actor, action: Action, resource: Resource,
             context: Mapping[str, Any] | None = None) -> Iterator[Session]:
        """Decide and record durably, then open a snapshot to read from.

        Raises:
            DeniedError: as `act`.
        """
        question = PolicyInput(actor, action, resource, context or {})
        with self._recorded_failures(question):
            decision = self._require(question)
            with self.database.transaction() as session:
                self._trail.append(session, _event(question, "read", decision.reasons, {}))
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
        question = PolicyInput(actor, action, resource, context or {})
        with self._recorded_failures(question):
            decision = self._require(question)
            event = _event(question, "intended", decision.reasons, dict(details or {}))
            intent = Intent(self, str(uuid.uuid4()), event)
            with self.database.transaction() as session:
                session.add(_intent_row(intent.id, question, details or {}))
                self._trail.append(session, event)
        try:
            yield intent
            if not intent.completed:
                with intent.completing():
                    pass
        except Exception as error:
            if not intent.completed:
                with self.database.transaction() as session:
                    self.close_intent(session, intent.id, event, "failed", {"error": _code(error)})
            raise

    def close_intent(self, session: Session, identifier: str, event: AuditEvent, outcome: Outcome,
                     details: Mapping[str, Any]) -> None:
        """Record an intent's outcome and forget it, in the caller's transaction."""
        row = session.get(IntentRow, identifier)
        if row is not None:
            session.delete(row)
        session.flush()
        self._trail.append(session, AuditEvent(event.actor, event.action, event.resource, outcome, event.reasons,
                                               event.purpose, {"intent": identifier, **details}))

    def reconcile(self, actor: Actor, settlers: Mapping[Action, Settler]) -> int:
        """Settle every intent that a dead process left; return how many there were.

        `actor` is the platform's own service account: it stands in the record of what was found.
        """
        with self.database.reading() as session:
            rows = list(session.scalars(select(IntentRow).order_by(IntentRow.opened_at)))
        for row in rows:
            action, resource = Action(row.action), Resource(**json.loads(row.resource))
            settler = settlers.get(action)
            found = settler(OpenIntent(row.id, action, resource, json.loads(row.details))) if settler else "abandoned"
            event = AuditEvent(actor, action, resource, "failed", ("reconciled at start",))
            with self.database.transaction() as session:
                self.close_intent(session, row.id, event, "done" if found == "done" else "failed", {"found": found})
        return len(rows)

    def _require(self, question: PolicyInput) -> Decision:
        decision = self._engine.decide(question)
        if not decision.allowed:
            reasons = "; ".join(decision.reasons) or "no rule allows it"
            raise DeniedError(
                "policy.denied", f"{question.actor.name or 'An unauthenticated caller'} may not "
                f"{question.action.value} {question.resource.name}: {reasons}.",
                fix="Ask someone whose role allows it, or satisfy the rule named.", field=question.action.value)
        return decision

    @contextmanager
    def _recorded_failures(self, question: PolicyInput) -> Iterator[None]:
        try:
            yield
        except DeniedError as error:
            self._record_alone(_event(question, "denied", (error.message,), {}))
            raise
        except Exception as error:
            self._record_alone(_event(question, "failed", (), {"error": _code(error)}))
            raise

    def _record_alone(self, event: AuditEvent) -> None:
        with self.database.transaction() as session:
            self._trail.append(session, event)


def _event(question: PolicyInput, outcome: Outcome, reasons: tuple[str, ...], details: Mapping[str, Any],
           ) -> AuditEvent:
    purpose = str(question.context.get("purpose", ""))
    return AuditEvent(question.actor, question.action, question.resource, outcome, reasons, purpose, details)


def _intent_row(identifier: str, question: PolicyInput, details: Mapping[str, Any]) -> IntentRow:
    return IntentRow(id=identifier, action=question.action.value, actor=question.actor.id,
                     resource=json.dumps(question.resource.as_input()), details=json.dumps(dict(details)),
                     opened_at=datetime.now(UTC))


def _code(error: Exception) -> str:
    return error.code if isinstance(error, RingfenceError) else type(error).__name__
