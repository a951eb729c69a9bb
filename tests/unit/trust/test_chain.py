"""The offline verifier: whatever is done to an export is found, and where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.storage.database import Base, Database
from ringfence.trust.audit import trail as trail_module
from ringfence.trust.audit.chain import GENESIS, ChainReport, canonical, record_hash, record_line, verify_export
from ringfence.trust.audit.trail import AuditTrail
from ringfence.trust.domain import Action, Actor, AuditEvent, Resource
from ringfence.trust.keys.keys_file import FileKeys

RECORDS = 23


class Export:
    """One export with checkpoints after every fifth record: lines, and which line holds which record."""

    def __init__(self, folder: Path) -> None:
        self.keys = FileKeys(folder / "keys")
        database = Database(f"sqlite:///{folder / 'x.db'}")
        Base.metadata.create_all(database.engine)
        self.trail = AuditTrail(self.keys)
        for number in range(RECORDS):
            actor = Actor(f"account-{number}", f"dana{number}", "person", frozenset({"viewer"}), "default")
            with database.transaction() as session:
                self.trail.append(session, AuditEvent(actor, Action.RUN_SHOW, Resource("run", f"run-{number}"), "read"))
                if number % 5 == 4:
                    self.trail.checkpoint(session)
        with database.reading() as session:
            self.lines = list(self.trail.export_lines(session))
        database.close()
        self.key = self.keys.public_key("audit")
        self.line_of = {json.loads(line)["record"]["seq"]: number for number, line in enumerate(self.lines)
                        if line.startswith('{"hash"')}

    def verify(self, lines: list[str]) -> ChainReport:
        return verify_export(lines, self.key)

    def rechained(self, seq: int) -> list[str]:
        """Return the export with record `seq` changed and every later hash made anew, checkpoints as they were."""
        lines, previous = list(self.lines), GENESIS
        for number, place in self.line_of.items():
            record = json.loads(lines[place])["record"]
            if number == seq:
                record["actor"]["name"] = "somebody else"
            text = canonical(record)
            lines[place] = record_line(record_hash(previous, text), previous, text)
            previous = json.loads(lines[place])["hash"]
        return lines


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Export]:
    return Export(tmp_path_factory.mktemp("chain"))


def test_an_untouched_export_holds(export: Export) -> None:
    assert export.verify(export.lines) == ChainReport(True, RECORDS)
    assert verify_export(iter(f"{line}\n" for line in export.lines), export.key).valid


def test_there_are_checkpoints_in_between(export: Export) -> None:
    kinds = [json.loads(line)["kind"] for line in export.lines if '"type":"checkpoint"' in line]
    assert kinds.count("interval") >= 4 and kinds[-1] == "export"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_character_is_found(export: Export, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(export.lines) - 1))
    line = export.lines[number]
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(codec="latin-1").filter(lambda found: found != line[place]))
    lines = [*export.lines[:number], line[:place] + other + line[place + 1 :], *export.lines[number + 1 :]]
    report = export.verify(lines)
    assert not report.valid and report.problem
    hit = next((seq for seq, at in export.line_of.items() if at == number), None)
    assert hit is None or report.first_broken == hit


@pytest.mark.parametrize("seq", range(1, RECORDS + 1))
def test_a_removed_record_is_found_at_its_place(export: Export, seq: int) -> None:
    place = export.line_of[seq]
    report = export.verify(export.lines[:place] + export.lines[place + 1 :])
    assert (report.valid, report.first_broken, report.records) == (False, seq, seq - 1)


@settings(max_examples=100, deadline=None)
@given(seq=st.integers(1, RECORDS), after=st.integers(0, RECORDS + 5))
def test_an_inserted_record_is_found(export: Export, seq: int, after: int) -> None:
    lines = list(export.lines)
    lines.insert(min(after + 1, len(lines)), export.lines[export.line_of[seq]])
    assert not export.verify(lines).valid


@settings(max_examples=100, deadline=None)
@given(first=st.integers(1, RECORDS), second=st.integers(1, RECORDS))
def test_two_exchanged_records_are_found_at_the_first(export: Export, first: int, second: int) -> None:
    lines, (one, two) = list(export.lines), (export.line_of[first], export.line_of[second])
    lines[one], lines[two] = lines[two], lines[one]
    report = export.verify(lines)
    assert report.valid if first == second else report.first_broken == min(first, second)


def test_every_cut_of_the_tail_is_found(export: Export) -> None:
    for length in range(len(export.lines)):
        report = export.verify(export.lines[:length])
        assert not report.valid, f"cut after line {length}"
        kept = sum(1 for at in export.line_of.values() if at < length)
        assert report.records == kept and report.first_broken == kept + 1


def test_a_cut_at_a_checkpoint_with_the_signed_end_moved_there_is_found(export: Export) -> None:
    checkpoints = [at for at, line in enumerate(export.lines) if '"kind":"interval"' in line]
    report = export.verify([*export.lines[: checkpoints[2] + 1], export.lines[-1]])
    assert not report.valid and "vouches for record" in report.problem


def test_a_checkpoint_in_between_is_no_end(export: Export) -> None:
    checkpoints = [at for at, line in enumerate(export.lines) if '"kind":"interval"' in line]
    report = export.verify(export.lines[: checkpoints[-1] + 1])
    assert not report.valid and "cut off" in report.problem


@pytest.mark.parametrize("seq", [1, 7, 12, RECORDS])
def test_a_chain_made_anew_is_found_by_the_next_checkpoint(export: Export, seq: int) -> None:
    report = export.verify(export.rechained(seq))
    assert not report.valid and "hashes made anew" in report.problem
    assert report.first_broken is not None and seq - 5 < report.first_broken <= seq


def test_a_chain_made_anew_without_its_checkpoints_is_found(export: Export) -> None:
    lines = [line for line in export.rechained(3)[:-1] if '"type":"checkpoint"' not in line]
    assert not export.verify(lines).valid
    assert not export.verify([*lines, export.lines[-1]]).valid


def test_another_platforms_key_refuses(export: Export, tmp_path: Path) -> None:
    other = FileKeys(tmp_path / "keys")
    assert "another platform" in verify_export(export.lines, other.public_key("audit")).problem
    assert "no Ed25519 key" in verify_export(export.lines, b"nonsense").problem


def test_an_end_signed_for_something_else_refuses(export: Export) -> None:
    end = json.loads(export.lines[-1])
    for change in ({"kind": "interval"}, {"seq": 3}, {"time": "2020-01-01T00:00:00+00:00"}, {"format": "x"},
                   {"signature": "A" * 88}, {"signature": ""}, {"signature": 7}, {"seq": True}, {"extra": 1}):
        assert not export.verify([*export.lines[:-1], canonical({**end, **change})]).valid, change


def test_an_earlier_checkpoint_finds_what_one_export_can_not_show(export: Export, tmp_path: Path) -> None:
    kept = json.loads(next(line for line in export.lines if '"kind":"interval"' in line and '"seq":20' in line))
    assert verify_export(export.lines, export.key, kept).valid
    assert verify_export(export.lines, export.key, json.loads(export.lines[-1])).valid
    younger = Export(tmp_path)  # another trail, signed by its own key
    assert not verify_export(younger.lines, younger.key, kept).valid
    forged = {**kept, "hash": "0" * 64}
    assert "no valid signature" in verify_export(export.lines, export.key, forged).problem


def test_a_whole_older_export_is_refused_by_a_later_checkpoint(tmp_path: Path) -> None:
    old = Export(tmp_path)
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    event = AuditEvent(Actor("a", "a", "person", frozenset(), "default"), Action.RUN_SHOW, Resource("run", "x"), "read")
    with database.transaction() as session:
        old.trail.append(session, event)
        later = old.trail.checkpoint(session)
    database.close()
    report = verify_export(old.lines, old.key, later)
    assert (report.valid, report.problem) == (
        False, f"Records {RECORDS + 1} to {RECORDS + 1} are missing: an earlier checkpoint vouches for them.")


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(st.one_of(st.text(max_size=60), st.just('{"type":"header"}'), st.just('{"type":"checkpoint"}'),
                                st.just("[" * 5000))))
def test_garbage_never_raises(export: Export, lines: list[str]) -> None:
    assert not export.verify(lines).valid
    assert not export.verify([export.lines[0], *lines]).valid


def test_a_file_that_is_no_text_is_refused(export: Export, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe" + os.urandom(100))
    with (tmp_path / "x").open(encoding="utf-8") as file:
        assert not verify_export(file, export.key).valid


def test_the_verifier_needs_nothing_of_the_platform(export: Export, tmp_path: Path) -> None:
    """It runs from its one file, so that an auditor can take that away."""
    (tmp_path / "export.jsonl").write_text("\n".join(export.lines))
    (tmp_path / "key.pem").write_bytes(export.key)
    (tmp_path / "chain.py").write_text(Path(trail_module.__file__).with_name("chain.py").read_text())
    code = ("import chain, sys; r = chain.verify_export(open('export.jsonl'), open('key.pem', 'rb').read()); "
            "print(r.valid, r.records, any(n.startswith('ringfence') for n in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", str(RECORDS), "False"]


