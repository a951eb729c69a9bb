"""The trail in the database: one chain whoever appends, protected by the database itself, searchable."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from ringfence.errors import TamperedError, UnavailableError
from ringfence.trust.audit import trail as trail_module
from ringfence.trust.audit.chain import verify_export
from ringfence.trust.audit.trail import AuditTrail
from ringfence.trust.domain import Action, Actor, AuditEvent, Outcome, Resource
from ringfence.trust.request import RequestInfo, request
from tests.trusted import Trusted, trusted


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Trusted]:
    with trusted(tmp_path) as made:
        yield made


def event(name: str = "dana", action: Action = Action.RUN_SHOW, resource: str = "run-1", outcome: Outcome = "done",
          **more: Any) -> AuditEvent:
    actor = Actor(f"account-{name}", name, "person", frozenset({"viewer"}), "default")
    return AuditEvent(actor, action, Resource("run", resource), outcome, **more)


def append(parts: Trusted, *events: AuditEvent) -> None:
    for one in events:
        with parts.database.transaction() as session:
            parts.trail.append(session, one)


def run_sql(parts: Trusted, sql: str) -> None:
    with parts.database.transaction() as session:
        session.connection().exec_driver_sql(sql)


def test_a_record_says_who_what_why_and_from_where(parts: Trusted) -> None:
    told = event(reasons=("by rule 7",), purpose="care", details={"digest": "d"}, context={"k": 5}, bundle="sha256:b")
    with request(RequestInfo("request-1", "192.0.2.7")):
        append(parts, told)
    record, = parts.records()
    assert record.pop("time").endswith("+00:00")
    assert record == {
        "seq": 1, "action": "run.show", "outcome": "done", "project": "default", "purpose": "care",
        "actor": {"id": "account-dana", "name": "dana", "kind": "person", "roles": ["viewer"]},
        "resource": {"kind": "run", "name": "run-1"}, "reasons": ["by rule 7"], "bundle": "sha256:b",
        "request": {"id": "request-1", "client": "192.0.2.7"}, "context": {"k": 5}, "details": {"digest": "d"}}


def test_a_rolled_back_append_leaves_no_gap(parts: Trusted) -> None:
    append(parts, event())
    session = parts.database.transaction()
    parts.trail.append(session.__enter__(), event("eve"))
    session.__exit__(RuntimeError, RuntimeError(), None)
    append(parts, event("frank"))
    assert [record["actor"]["name"] for record in parts.records()] == ["dana", "frank"]
    assert verify_export(parts.export(), parts.trail.public_key()).valid


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, Path("x"), b"bytes", object()])
def test_what_can_not_be_written_down_fails_the_verb(parts: Trusted, value: object) -> None:
    with pytest.raises(UnavailableError, match="can't be written"):
        append(parts, event(details={"value": value}))
    assert parts.records() == []


def test_what_is_too_large_stands_as_its_digest(parts: Trusted) -> None:
    append(parts, event(details={"list": ["x" * 100] * 1000}))
    details = parts.records()[0]["details"]
    assert set(details) == {"omitted", "bytes"} and details["omitted"].startswith("sha256:")


def test_odd_characters_stay_on_one_ascii_line(parts: Trusted) -> None:
    append(parts, event("d\u202eana\n\ud800", details={"note": "a\nb\u2028c"}))
    assert all(line.isascii() and "\n" not in line for line in parts.export())
    assert verify_export(parts.export(), parts.trail.public_key()).valid
    assert parts.records()[0]["details"]["note"] == "a\nb\u2028c"


def test_searching(parts: Trusted) -> None:
    append(parts, event(), event("eve", Action.DATASET_READ_RAW, "icu", "denied"), event(action=Action.DATASET_SHOW),
           event(action=Action.RUN_SUBMIT, outcome="failed"))

    def found(**wanted: Any) -> list[int]:
        with parts.database.reading() as session:
            return [record.seq for record in parts.trail.search(session, **wanted)]

    assert found() == [4, 3, 2, 1] and found(limit=2) == [4, 3], "the newest, and the newest first"
    assert found(after=0) == [1, 2, 3, 4] and found(after=0, limit=3) == [1, 2, 3] and found(after=4) == []
    assert found(actor="eve") == found(actor="account-eve") == [2]
    assert found(action="dataset") == [3, 2] and found(action="dataset.show") == [3] and found(action="data") == []
    assert found(resource="icu") == [2] and found(outcome="failed") == [4]
    assert found(after=2) == [3, 4] and found(after=1, limit=2) == [2, 3] and found(limit=0) == [4]
    assert found(project="other") == [] and found(actor="' OR 1=1 --") == []
    assert found(action="%.") == [] and found(action="d_taset") == []


def test_checkpoints_come_by_number(parts: Trusted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_module, "EVERY_RECORDS", 4)
    append(parts, *(event() for _ in range(13)))
    made = [json.loads(line)["seq"] for line in parts.export() if '"kind":"interval"' in line]
    assert made == [1, 4, 8, 12], "the first append of a process, then every fourth record"


def test_checkpoints_come_by_time(parts: Trusted, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(trail_module.time, "monotonic", lambda: now[0])
    for _ in range(5):
        append(parts, event())
        now[0] += 31
    made = [json.loads(line)["seq"] for line in parts.export() if '"kind":"interval"' in line]
    assert made == [1, 3, 5]


def test_a_checkpoint_is_made_once_for_a_record(parts: Trusted) -> None:
    append(parts, event())
    with parts.database.transaction() as session:
        assert parts.trail.checkpoint(session) == parts.trail.checkpoint(session)


@pytest.mark.parametrize("sql", [
    "UPDATE audit_records SET outcome = 'done'", "DELETE FROM audit_records WHERE seq = 2", "DELETE FROM audit_records",
    "INSERT OR REPLACE INTO audit_records SELECT * FROM audit_records WHERE seq = 2",
    "INSERT INTO audit_records SELECT seq + 5, hash, previous, record, actor, actor_name, action, resource, outcome, "
    "project FROM audit_records WHERE seq = 3",
    "INSERT INTO audit_records SELECT 4, hash, previous, record, actor, actor_name, action, resource, outcome, project "
    "FROM audit_records WHERE seq = 3",
    "UPDATE audit_checkpoints SET seq = 9", "DELETE FROM audit_checkpoints",
    "INSERT OR REPLACE INTO audit_checkpoints VALUES (1, '{}')"])
def test_the_database_itself_refuses_changes(parts: Trusted, sql: str) -> None:
    append(parts, event(), event(), event())
    before = parts.export()[:-1]
    with pytest.raises(IntegrityError, match="can not be changed"):
        run_sql(parts, sql)
    assert parts.export()[:-1] == before


APPENDER = """
import sys
from pathlib import Path
from tests.trusted import trusted
from tests.unit.trust.test_trail import append, event
with trusted(Path(sys.argv[1])) as parts:
    sys.stdin.read(1)
    append(parts, *(event(f"p{sys.argv[2]}", resource=str(number)) for number in range(25)))
"""


def test_processes_that_append_at_once_keep_one_chain(parts: Trusted) -> None:
    children = [subprocess.Popen([sys.executable, "-c", APPENDER, str(parts.home), str(number)], stdin=subprocess.PIPE,
                                 cwd=Path(__file__).parents[3]) for number in range(4)]
    for child in children:
        child.communicate(b"x")
        assert child.returncode == 0
    report = verify_export(parts.export(), parts.trail.public_key())
    assert (report.valid, report.records) == (True, 100)
    for number in range(4):
        mine = [record["resource"]["name"] for record in parts.records() if record["actor"]["name"] == f"p{number}"]
        assert mine == [str(one) for one in range(25)]


KILLED = """
import os, sys
from pathlib import Path
from tests.trusted import trusted
from tests.unit.trust.test_trail import event
with trusted(Path(sys.argv[1])) as parts, parts.database.transaction() as session:
    parts.trail.append(session, event("killed"))
    os.kill(os.getpid(), 9)
"""


def test_a_process_killed_before_its_commit_leaves_nothing(parts: Trusted) -> None:
    append(parts, event())
    subprocess.run([sys.executable, "-c", KILLED, str(parts.home)], cwd=Path(__file__).parents[3], check=False)
    append(parts, event())
    assert [record["actor"]["name"] for record in parts.records()] == ["dana", "dana"]
    assert verify_export(parts.export(), parts.trail.public_key()).valid


def test_a_row_whose_columns_hide_it_is_found(parts: Trusted) -> None:
    append(parts, event("eve"))
    run_sql(parts, "DROP TRIGGER audit_records_no_update")
    run_sql(parts, "UPDATE audit_records SET actor_name = 'dana'")
    with pytest.raises(TamperedError, match="record 1"), parts.database.reading() as session:
        parts.trail.search(session, actor="dana")


def test_the_public_key_stays_the_same_over_restarts(parts: Trusted) -> None:
    assert AuditTrail(parts.keys).public_key() == parts.trail.public_key()
