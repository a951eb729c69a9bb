"""An attacker with write access to the database file, triggers dropped: what `audit verify` and an export find."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.trust.audit import trail as trail_module
from ringfence.trust.audit.chain import GENESIS, canonical, record_hash, verify_export
from ringfence.trust.domain import Actor
from tests.trusted import Trusted, trusted


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trusted]:
    monkeypatch.setattr(trail_module, "EVERY_RECORDS", 5)
    with trusted(tmp_path) as made:
        yield made


@pytest.fixture
def officer(parts: Trusted) -> Actor:
    officer = parts.person(parts.administrator(), "olga", "security_officer")
    for _ in range(12):
        parts.identity.accounts(officer)
    return officer


def attack(parts: Trusted, act: Callable[[sqlite3.Connection], object], *, restore: bool = True) -> None:
    """Let the attacker work on the file, hiding the traces: the triggers are put back."""
    with sqlite3.connect(parts.home / "ringfence.db") as file:
        triggers = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            file.execute(f"DROP TRIGGER {name}")
        act(file)
        for _, sql in triggers if restore else ():
            file.execute(sql)
    file.close()


def rechain(file: sqlite3.Connection) -> None:
    previous = GENESIS
    for seq, record in file.execute("SELECT seq, record FROM audit_records ORDER BY seq").fetchall():
        digest = record_hash(previous, record)
        file.execute("UPDATE audit_records SET previous = ?, hash = ? WHERE seq = ?", (previous, digest, seq))
        previous = digest


def rename_actor(file: sqlite3.Connection, seq: int) -> None:
    record = json.loads(file.execute("SELECT record FROM audit_records WHERE seq = ?", (seq,)).fetchone()[0])
    record["actor"]["name"] = "mallory"
    file.execute("UPDATE audit_records SET record = ?, actor_name = 'mallory' WHERE seq = ?", (canonical(record), seq))


def renumber_without(file: sqlite3.Connection, seq: int) -> None:
    file.execute("DELETE FROM audit_records WHERE seq = ?", (seq,))
    later = file.execute("SELECT seq, record FROM audit_records WHERE seq > ? ORDER BY seq", (seq,)).fetchall()
    for number, text in later:
        record = canonical({**json.loads(text), "seq": number - 1})
        file.execute("UPDATE audit_records SET seq = ?, record = ? WHERE seq = ?", (number - 1, record, number))


def both(parts: Trusted, officer: Actor) -> tuple[bool, bool]:
    """Return what the platform's own verification and an offline one of an export find."""
    online = parts.audit.verify(officer)
    lines = list(parts.audit.export(officer))
    return online.valid, verify_export(lines, parts.trail.public_key()).valid


def test_untouched(parts: Trusted, officer: Actor) -> None:
    assert both(parts, officer) == (True, True)


def test_a_changed_record(parts: Trusted, officer: Actor) -> None:
    attack(parts, lambda file: rename_actor(file, 7))
    report = parts.audit.verify(officer)
    assert (report.valid, report.first_broken) == (False, 7)


def test_a_changed_record_and_a_chain_made_anew(parts: Trusted, officer: Actor) -> None:
    attack(parts, lambda file: (rename_actor(file, 7), rechain(file)))
    report = parts.audit.verify(officer)
    assert not report.valid and report.first_broken == 6, "record 5 is the last that a checkpoint vouches for"


def test_a_removed_record(parts: Trusted, officer: Actor) -> None:
    attack(parts, lambda file: file.execute("DELETE FROM audit_records WHERE seq = 7"))
    report = parts.audit.verify(officer)
    assert (report.valid, report.first_broken) == (False, 7)


def test_a_removed_record_with_everything_renumbered_and_made_anew(parts: Trusted, officer: Actor) -> None:
    attack(parts, lambda file: (renumber_without(file, 7), rechain(file)))
    assert not parts.audit.verify(officer).valid


def test_a_cut_tail(parts: Trusted, officer: Actor) -> None:
    attack(parts, lambda file: file.execute("DELETE FROM audit_records WHERE seq > 8"))
    report = parts.audit.verify(officer)
    assert not report.valid and report.first_broken is not None and report.first_broken >= 9


def test_a_cut_tail_with_its_checkpoints_is_found_by_a_kept_one_only(parts: Trusted, officer: Actor) -> None:
    kept = json.loads(list(parts.audit.export(officer))[-1])
    attack(parts, lambda file: [file.execute(f"DELETE FROM {table} WHERE seq > 8")
                                for table in ("audit_records", "audit_checkpoints")])
    lines = list(parts.audit.export(officer))
    assert verify_export(lines, parts.trail.public_key()).valid, "nothing inside shows it"
    report = verify_export(lines, parts.trail.public_key(), kept)
    assert not report.valid and "earlier checkpoint" in report.problem


def test_dropped_guards_are_named(parts: Trusted, officer: Actor) -> None:
    attack(parts, lambda _file: None, restore=False)
    report = parts.audit.verify(officer)
    assert not report.valid and "audit_records_no_delete" in report.problem


def test_a_weakened_guard_is_named(parts: Trusted, officer: Actor) -> None:
    attack(parts, lambda _file: None, restore=False)
    attack(parts, lambda file: [file.execute(
        f"CREATE TRIGGER audit_{table}_no_{verb} BEFORE {verb} ON audit_{table} WHEN 0 BEGIN SELECT 1; END")
        for table in ("records", "checkpoints") for verb in ("update", "delete", "insert")], restore=False)
    assert "missing or changed" in parts.audit.verify(officer).problem


def test_a_hidden_record(parts: Trusted, officer: Actor) -> None:
    attack(parts, lambda file: file.execute("UPDATE audit_records SET actor_name = 'nobody' WHERE seq = 7"))
    assert not parts.audit.verify(officer).valid


def test_a_forged_checkpoint(parts: Trusted, officer: Actor) -> None:
    def forge(file: sqlite3.Connection) -> None:
        rename_actor(file, 2)
        rechain(file)
        for seq, text in file.execute("SELECT seq, checkpoint FROM audit_checkpoints").fetchall():
            digest, = file.execute("SELECT hash FROM audit_records WHERE seq = ?", (seq,)).fetchone()
            file.execute("UPDATE audit_checkpoints SET checkpoint = ? WHERE seq = ?",
                         (canonical({**json.loads(text), "hash": digest}), seq))

    attack(parts, forge)
    assert "no valid signature" in parts.audit.verify(officer).problem
