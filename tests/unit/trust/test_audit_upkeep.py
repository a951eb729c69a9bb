"""Checkpoints by the clock and at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.trust.audit.chain import verify_export
from ringfence.trust.audit.trail import EVERY_SECONDS
from ringfence.trust.audit.upkeep import AuditUpkeep, CheckpointTimer, Periodic
from tests.delivering import append, file_deliverer
from tests.trusted import Trusted, trusted


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Trusted]:
    with trusted(tmp_path) as made:
        yield made


class Clock:
    """A clock that stands until it is set."""

    now = 500.0

    def __call__(self) -> float:
        return self.now


def checkpoints(parts: Trusted) -> list[int]:
    return [json.loads(line)["seq"] for line in parts.export() if '"kind":"interval"' in line]


def test_no_record_waits_longer_than_a_minute(parts: Trusted) -> None:
    clock = Clock()
    timer = CheckpointTimer(parts.database, parts.trail, clock)
    append(parts)  # the first append of a process has a checkpoint of its own
    assert checkpoints(parts) == [1]
    began = clock.now + 3
    clock.now = began
    append(parts, 4)
    while checkpoints(parts) == [1]:
        append(parts)
        clock.now += timer.look()
        assert clock.now - began <= EVERY_SECONDS
    last = checkpoints(parts)[-1]
    assert last > 5
    report = verify_export(parts.export(), parts.trail.public_key())
    assert report.valid


def test_nothing_new_is_not_signed_again(parts: Trusted) -> None:
    clock = Clock()
    timer = CheckpointTimer(parts.database, parts.trail, clock)
    for _ in range(40):
        clock.now += timer.look()
    assert checkpoints(parts) == [], "an empty trail needs none"
    append(parts)
    for _ in range(40):
        clock.now += timer.look()
    timer.stop()
    assert checkpoints(parts) == [1]


def test_the_last_records_are_vouched_for_and_delivered_at_the_end(parts: Trusted) -> None:
    upkeep = AuditUpkeep(CheckpointTimer(parts.database, parts.trail), [file_deliverer(parts)])
    upkeep.start()
    append(parts, 7)
    upkeep.stop()
    assert checkpoints(parts)[-1] == 7
    lines = "".join(path.read_text() for path in sorted((parts.home / "audit").glob("audit*.jsonl")))
    assert lines.splitlines() == parts.export()[:-1]


def test_one_that_never_ran_ends_as_well(parts: Trusted) -> None:
    append(parts, 3)
    AuditUpkeep(CheckpointTimer(parts.database, parts.trail), [file_deliverer(parts)]).stop()
    assert checkpoints(parts) == [1, 3]
    assert len((parts.home / "audit" / "audit.jsonl").read_text().splitlines()) == 6


def test_a_thread_outlives_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.trust.audit.upkeep._LONGEST_PAUSE", 0.0)
    seen: list[int] = []

    def tick() -> float:
        seen.append(len(seen))
        if len(seen) == 1:
            raise ZeroDivisionError
        periodic._stopping.set()
        return 0.0

    periodic = Periodic("test", tick)
    periodic.start()
    periodic._thread.join(30)
    assert seen == [0, 1]
