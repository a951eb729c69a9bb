"""The gate: nothing happens without a decision and a record, and nothing is recorded that did not happen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ringfence.errors import ConflictError, DeniedError, UnavailableError
from ringfence.storage.database import Base, Database
from ringfence.trust.domain import Action, Actor, AuditEvent, Decision, PolicyInput, Resource
from ringfence.trust.gate import Gate, Intent, IntentRow, OpenIntent

THING = Resource("dataset", "icu")
DANA = Actor("account-1", "dana", "person", frozenset({"data_steward"}), "default")


THINGS = Table("test_things", MetaData(), Column("name", String(20), primary_key=True))


def add_thing(session: Session) -> None:
    session.execute(THINGS.insert().values(name="a"))


def add_then_fail(session: Session) -> None:
    add_thing(session)
    raise ConflictError("x.exists", "It is there.")


class Rules:
    """Allows everything but `policy.add`; can be told to break."""

    broken = False

    def decide(self, question: PolicyInput) -> Decision:
        if self.broken:
            raise UnavailableError("policy.unavailable", "broken")
        allowed = question.action != Action.POLICY_ADD
        return Decision(allowed, ("by rule 7.",), "sha256:bundle")


class Memory:
    """A trail of rows in the same database, which can be told to break."""

    broken = False

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def append(self, session: Session, event: AuditEvent) -> None:
        if self.broken:
            raise UnavailableError("audit.broken", "the trail can't be written")
        self.events.append(event)

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events]


class Desk:
    def __init__(self, home: Path) -> None:
        self.database = Database(f"sqlite:///{home / 'x.db'}")
        Base.metadata.create_all(self.database.engine)
        THINGS.create(self.database.engine)
        self.rules, self.trail = Rules(), Memory()
        self.gate = Gate(self.database, self.rules, self.trail)

    def things(self) -> list[str]:
        with self.database.reading() as session:
            return sorted(session.scalars(select(THINGS.c.name)))

    def intents(self) -> int:
        with self.database.reading() as session:
            return len(list(session.scalars(select(IntentRow.id))))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.database.close()


def test_an_act_and_its_record_are_one(desk: Desk) -> None:
    with desk.gate.act(DANA, Action.DATASET_DECLARE, THING, {"purpose": "care", "k": 5}) as permit:
        add_thing(permit.session)
        permit.record(digest="d")
        assert desk.trail.events == []
    event, = desk.trail.events
    assert desk.things() == ["a"]
    assert (event.outcome, event.purpose) == ("done", "care")
    assert (event.reasons, event.bundle) == (("by rule 7.",), "sha256:bundle")
    assert event.details == {"digest": "d"} and event.context == {"purpose": "care", "k": 5}


def test_a_refusal_does_nothing_and_is_recorded_with_policys_reasons(desk: Desk) -> None:
    with pytest.raises(DeniedError, match="by rule 7"), desk.gate.act(DANA, Action.POLICY_ADD, THING):
        pytest.fail("the block of a refused act must not run")
    event, = desk.trail.events
    assert (event.outcome, event.reasons, event.bundle) == ("denied", ("by rule 7.",), "sha256:bundle")


def test_a_failure_is_rolled_back_and_recorded(desk: Desk) -> None:
    with pytest.raises(ConflictError), desk.gate.act(DANA, Action.DATASET_DECLARE, THING) as permit:
        add_then_fail(permit.session)
    event, = desk.trail.events
    assert (desk.things(), event.outcome, event.details) == ([], "failed", {"error": "x.exists"})


def test_a_refusal_inside_the_verb_gives_its_own_reason(desk: Desk) -> None:
    with pytest.raises(DeniedError), desk.gate.act(DANA, Action.DATASET_DECLARE, THING):
        raise DeniedError("x.y", "Used already.")
    event, = desk.trail.events
    assert (event.outcome, event.reasons) == ("denied", ("Used already.",))


def test_a_clash_in_the_database_is_a_failure_not_an_act(desk: Desk) -> None:
    with desk.gate.act(DANA, Action.DATASET_DECLARE, THING) as permit:
        add_thing(permit.session)
    with pytest.raises(IntegrityError), desk.gate.act(DANA, Action.DATASET_DECLARE, THING) as permit:
        add_thing(permit.session)
    assert desk.trail.outcomes() == ["done", "failed"]


def test_without_a_decision_nothing_is_done(desk: Desk) -> None:
    desk.rules.broken = True
    with pytest.raises(UnavailableError), desk.gate.act(DANA, Action.DATASET_DECLARE, THING):
        pytest.fail("no decision, no act")
    with pytest.raises(UnavailableError), desk.gate.read(DANA, Action.DATASET_SHOW, THING):
        pytest.fail("no decision, no read")
    with pytest.raises(UnavailableError), desk.gate.intend(DANA, Action.DATASET_RELEASE, THING):
        pytest.fail("no decision, no intent")
    assert desk.trail.outcomes() == ["failed"] * 3 and desk.intents() == 0


def test_without_a_trail_nothing_is_done(desk: Desk) -> None:
    desk.trail.broken = True
    with pytest.raises(UnavailableError, match="trail"), desk.gate.act(DANA, Action.DATASET_DECLARE, THING) as permit:
        add_thing(permit.session)
    with pytest.raises(UnavailableError, match="trail"), desk.gate.read(DANA, Action.DATASET_SHOW, THING):
        pytest.fail("what is not recorded is not read")
    with pytest.raises(UnavailableError, match="trail"), desk.gate.intend(DANA, Action.DATASET_RELEASE, THING):
        pytest.fail("what is not recorded is not begun")
    assert desk.things() == [] and desk.intents() == 0


def test_a_read_is_recorded_before_its_first_byte(desk: Desk) -> None:
    with desk.gate.read(DANA, Action.DATASET_SHOW, THING):
        assert desk.trail.outcomes() == ["read"]


def test_an_intent_is_durable_before_the_act_and_gone_after_it(desk: Desk) -> None:
    with desk.gate.intend(DANA, Action.DATASET_RELEASE, THING, details={"blob": "b"}) as intent:
        assert (desk.trail.outcomes(), desk.intents()) == (["intended"], 1)
        intent.record(size=3)
        with intent.completing() as session:
            add_thing(session)
    done = desk.trail.events[-1]
    assert (done.outcome, done.details, done.bundle) == ("done", {"intent": intent.id, "size": 3}, "sha256:bundle")
    assert desk.things() == ["a"] and desk.intents() == 0


def test_an_intent_that_fails_is_closed_as_failed(desk: Desk) -> None:
    with pytest.raises(ConflictError), desk.gate.intend(DANA, Action.DATASET_RELEASE, THING) as intent, \
            intent.completing() as session:
        add_then_fail(session)
    assert desk.trail.outcomes() == ["intended", "failed"]
    assert desk.things() == [] and desk.intents() == 0


def test_an_act_of_a_living_process_is_not_settled(desk: Desk) -> None:
    with desk.gate.intend(DANA, Action.DATASET_RELEASE, THING):
        assert desk.gate.reconcile(DANA, {}) == 0
        assert desk.intents() == 1
    assert desk.trail.outcomes() == ["intended", "done"]


def orphan(desk: Desk) -> None:
    """Leave an intent as a process that was killed leaves it."""
    code = "from ringfence.trust.owner import this_process; print(this_process())"
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    with pytest.raises(KeyboardInterrupt), desk.gate.intend(DANA, Action.DATASET_RELEASE, THING, details={"blob": "b"}):
        raise KeyboardInterrupt
    with desk.database.transaction() as session:
        for row in session.scalars(select(IntentRow)):
            row.owner = owner


@pytest.mark.parametrize(("found", "outcome"), [("done", "done"), ("its blob was removed", "failed")])
def test_what_a_dead_process_left_is_settled_once(desk: Desk, found: str, outcome: str) -> None:
    orphan(desk)
    seen: list[OpenIntent] = []

    def settle(intent: OpenIntent) -> str:
        seen.append(intent)
        return found

    assert desk.gate.reconcile(DANA, {Action.DATASET_RELEASE: settle}) == 1
    assert desk.gate.reconcile(DANA, {Action.DATASET_RELEASE: settle}) == 0
    assert [(intent.action, intent.resource, intent.details) for intent in seen] == [
        (Action.DATASET_RELEASE, THING, {"blob": "b"})]
    last = desk.trail.events[-1]
    assert last.outcome == outcome and last.details["found"] == found and last.details["on_behalf_of"] == "account-1"


def test_a_settler_that_fails_leaves_its_intent_for_the_next_start(desk: Desk) -> None:
    orphan(desk)

    def fail(_intent: OpenIntent) -> str:
        raise UnavailableError("storage.objects", "disk away")

    with pytest.raises(UnavailableError):
        desk.gate.reconcile(DANA, {Action.DATASET_RELEASE: fail})
    assert desk.intents() == 1


def test_an_act_that_was_settled_meanwhile_can_not_complete(desk: Desk) -> None:
    def complete_late(intent: Intent) -> None:
        with desk.database.transaction() as session:
            session.delete(session.get_one(IntentRow, intent.id))
        with intent.completing() as session:
            add_thing(session)

    with pytest.raises(ConflictError, match="settled"), desk.gate.intend(DANA, Action.DATASET_RELEASE, THING) as intent:
        complete_late(intent)
    assert desk.things() == []
