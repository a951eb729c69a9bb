"""What every audit sink promises: all that was committed, once, in order, whatever dies or fills up; and no silence
about what was altered behind its back."""

from __future__ import annotations

import logging
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.errors import TamperedError, UnavailableError
from ringfence.trust.audit.chain import verify_export
from ringfence.trust.audit.sink import NOTHING, Entry, Sink, entries_after, place_of
from ringfence.trust.audit.sink_file import FileSink
from ringfence.trust.audit.upkeep import Deliverer
from tests.delivering import append, file_deliverer
from tests.soak import times
from tests.trusted import Trusted, trusted


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Trusted]:
    with trusted(tmp_path) as made:
        yield made


def folder(parts: Trusted) -> Path:
    return parts.home / "audit"


def contents(parts: Trusted) -> list[str]:
    """Return the lines of the sink's files, the rotated ones first."""
    files = [*sorted(folder(parts).glob("audit-[0-9]*.jsonl")), folder(parts) / "audit.jsonl"]
    return [line for file in files if file.exists() for line in file.read_text().split("\n")[:-1]]


def committed(parts: Trusted) -> list[str]:
    """Return what the sink must hold: an export without its signed end."""
    return parts.export()[:-1]


def all_entries(parts: Trusted, after: int = NOTHING) -> list[Entry]:
    with parts.database.reading() as session:
        return entries_after(session, parts.trail.public_key(), after)


SINKS: dict[str, Callable[[Path], Sink]] = {"file": lambda path: FileSink(path, 3000)}


@pytest.fixture(params=SINKS)
def make_sink(request: pytest.FixtureRequest, parts: Trusted) -> Callable[[], Sink]:
    return lambda: SINKS[request.param](folder(parts))


def test_everything_arrives_once_and_in_order(parts: Trusted, make_sink: Callable[[], Sink]) -> None:
    sink = make_sink()
    assert sink.held() == NOTHING
    for number in (1, 7, 0, 20):
        append(parts, number)
        sink.deliver(all_entries(parts, sink.held()))
        assert contents(parts) == committed(parts)


def test_delivering_again_changes_nothing(parts: Trusted, make_sink: Callable[[], Sink]) -> None:
    sink = make_sink()
    append(parts, 12)
    entries = all_entries(parts)
    for cut in (5, 3, len(entries), 8):
        sink.deliver(entries[:cut])
    sink.close()
    again = make_sink()
    assert again.held() == entries[-1].place
    again.deliver(entries)
    assert contents(parts) == committed(parts)


def test_a_record_that_does_not_follow_is_refused(parts: Trusted, make_sink: Callable[[], Sink]) -> None:
    sink = make_sink()
    append(parts, 6)
    entries = all_entries(parts)
    sink.deliver(entries[:4])
    before = contents(parts)
    with pytest.raises(TamperedError, match="different trails"):
        sink.deliver(entries[5:])
    assert contents(parts) == before


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_killed_process_loses_nothing_and_doubles_nothing(parts: Trusted) -> None:
    chance = random.Random(7)
    command = [sys.executable, "-m", "tests.delivering", str(parts.home)]
    for _ in times(10, 200):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for _ in range(chance.randint(1, 12)):
                assert process.stdout.readline() == "delivered\n"
            signal.sigtimedwait([], chance.random() / 30)  # somewhere within the next delivery
            process.send_signal(signal.SIGKILL)
        there, wanted = contents(parts), committed(parts)
        assert there == wanted[:len(there)], "not even before the next start"
        if chance.random() < 0.5:
            deliverer = file_deliverer(parts)
            deliverer.deliver()
            deliverer.stop()
            assert contents(parts) == committed(parts)
            assert deliverer.status().incidents == ()
    assert contents(parts)


def test_each_byte_may_be_the_last_one_written(parts: Trusted) -> None:
    append(parts, 3)
    FileSink(folder(parts)).deliver(all_entries(parts))
    state, file = folder(parts) / "audit.state", folder(parts) / "audit.jsonl"
    before, whole = state.read_bytes(), file.read_bytes()
    append(parts, 2)
    FileSink(folder(parts)).deliver(all_entries(parts))
    full = file.read_bytes()
    for length in (*range(len(whole), len(full), 7), len(full)):
        for torn in (full[:length], full[:length] + b"\0" * 9):
            state.write_bytes(before)
            file.write_bytes(torn)
            sink = FileSink(folder(parts))
            sink.deliver(all_entries(parts, sink.held()))
            sink.deliver([])
            assert file.read_bytes() == full
            assert sink.incidents() == ()
            sink.close()


@pytest.mark.parametrize("largest", [3000, 1 << 20])
def test_a_lost_state_is_found_again_in_the_file(parts: Trusted, largest: int) -> None:
    sink = FileSink(folder(parts), largest)
    for _ in range(6):
        append(parts, 3)
        sink.deliver(all_entries(parts, sink.held()))
    sink.close()
    (folder(parts) / "audit.state").unlink()
    append(parts, 3)
    again = FileSink(folder(parts), largest)
    again.deliver(all_entries(parts, again.held()))
    assert contents(parts) == committed(parts)
    assert again.incidents() == ()


def test_a_process_killed_while_it_rotates(parts: Trusted) -> None:
    sink = FileSink(folder(parts), 1000)
    append(parts, 5)
    sink.deliver(all_entries(parts))
    sink.close()
    (folder(parts) / "audit.jsonl").rename(folder(parts) / "audit-000000000000.jsonl")
    append(parts, 5)
    again = FileSink(folder(parts), 1000)
    again.deliver(all_entries(parts, again.held()))
    assert contents(parts) == committed(parts)
    assert again.incidents() == ()


def test_a_full_disk_delays_and_loses_nothing(parts: Trusted) -> None:
    append(parts, 2)
    deliverer = file_deliverer(parts, largest=1 << 20)
    deliverer.deliver()
    entries, sink = len(contents(parts)), FileSink(folder(parts))
    sink.held()
    append(parts, 30, "x" * 300)
    room = (folder(parts) / "audit.jsonl").stat().st_size + 1234
    with limited(room), pytest.raises(UnavailableError, match="is full"):
        sink.deliver(all_entries(parts, sink.held()))
    assert (folder(parts) / "audit.jsonl").stat().st_size == room, "it was filled to the last byte"
    append(parts, 3)
    assert len(contents(parts)) > entries
    sink.deliver(all_entries(parts, sink.held()))
    assert contents(parts) == committed(parts)
    assert sink.incidents() == ()


class limited:
    """No file of this process may grow over `size` bytes in the block."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


def _first_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _one_word(path: Path) -> None:
    text = path.read_text()
    path.write_text(text.replace("dana", "eve!", 1))


def _appended(path: Path) -> None:
    with path.open("a") as file:
        file.write('{"hash":"forged"}\n')


def _scribbled(path: Path) -> None:
    with path.open("a") as file:
        file.write("no line")


def _replaced(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o600)
    copy.rename(path)


ALTERATIONS = [_first_half, _one_word, _appended, _scribbled, _replaced, Path.unlink]


@pytest.mark.parametrize("alter", ALTERATIONS)
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("more", [0, 2])
def test_an_alteration_is_reported_and_mended(parts: Trusted, alter: Callable[[Path], None], restarted: bool,
                                              more: int, caplog: pytest.LogCaptureFixture) -> None:
    append(parts, 9)
    deliverer = file_deliverer(parts)
    deliverer.deliver()
    file = folder(parts) / "audit.jsonl"
    if restarted:
        deliverer.stop()
    alter(file)
    left = file.read_bytes() if file.exists() else None
    append(parts, more)
    if restarted:
        deliverer = file_deliverer(parts)
    if restarted and alter is _replaced:  # the same bytes under another inode: a restored copy, to a new process
        deliverer.deliver()
        assert contents(parts) == committed(parts)
        return
    with caplog.at_level(logging.ERROR), pytest.raises(TamperedError, match="behind the platform's back"):
        deliverer.deliver()
    assert "was altered" in caplog.text
    deliverer.deliver()
    assert contents(parts) == committed(parts), "from the database, which is the truth"
    kept = [path.read_bytes() for path in folder(parts).glob("audit-altered-*")]
    assert kept == ([] if left is None else [left]), "the evidence stays"
    deliverer.stop()
    incident, = file_deliverer_status(parts).incidents
    assert "altered" in incident.problem


def file_deliverer_status(parts: Trusted) -> object:
    deliverer = file_deliverer(parts)
    deliverer.deliver()
    return deliverer.status()


def test_a_file_that_others_may_read_is_not_written(parts: Trusted) -> None:
    append(parts)
    deliverer = file_deliverer(parts)
    deliverer.deliver()
    file = folder(parts) / "audit.jsonl"
    assert [path.stat().st_mode & 0o777 for path in (file, file.with_name("audit.state"))] == [0o600, 0o600]
    file.chmod(0o640)
    with pytest.raises(UnavailableError, match="Others than its owner"):
        deliverer.deliver()
    file.chmod(0o600)
    deliverer.deliver()


def test_an_older_database_is_not_taken_for_the_trail(parts: Trusted, tmp_path: Path) -> None:
    append(parts, 5)
    deliverer = file_deliverer(parts)
    deliverer.deliver()
    before = contents(parts)
    with trusted(tmp_path / "other") as other:
        sink = FileSink(folder(parts))
        for number in (2, 9):
            append(other, number)
            with pytest.raises(TamperedError, match="different trails"):
                Deliverer(other.database, other.trail.public_key, sink, tmp_path / "lock").deliver()
    assert contents(parts) == before


def test_only_one_process_delivers_and_another_takes_over(parts: Trusted) -> None:
    append(parts, 4)
    first, second = file_deliverer(parts), file_deliverer(parts)
    first._tick()
    second._tick()
    assert second.status().problem.startswith("Another process")
    first.stop()
    append(parts, 2)
    second._tick()
    status = second.status()
    assert (status.delivered, status.behind, status.problem) == (6, 0, "")
    assert contents(parts) == committed(parts)
    second.stop()


def test_a_sink_that_is_down_costs_only_its_own_lag(parts: Trusted) -> None:
    append(parts, 2)
    deliverer = file_deliverer(parts)
    deliverer._tick()
    file = folder(parts) / "audit.jsonl"
    file.chmod(0o644)
    append(parts, 3)
    pauses = [deliverer._tick() for _ in range(8)]
    assert pauses == sorted(pauses) and pauses[-1] == 30.0
    assert (deliverer.status().behind, deliverer.status().problem != "") == (3, True)
    file.chmod(0o600)
    deliverer._tick()
    assert (deliverer.status().behind, deliverer.status().problem) == (0, "")
    deliverer.stop()


def test_a_thread_delivers_what_other_processes_commit_and_the_last_at_its_end(parts: Trusted) -> None:
    deliverer = file_deliverer(parts)
    deliverer.start()
    append(parts, 5)
    deliverer.stop()
    assert contents(parts) == committed(parts)


def test_its_files_put_together_are_an_export(parts: Trusted) -> None:
    append(parts, 20)
    file_deliverer(parts).deliver()
    report = verify_export([*contents(parts), parts.export()[-1]], parts.trail.public_key())
    assert report.valid and report.records == 20


@pytest.mark.parametrize("line", ["", "x", "[]", "null", "{}", '{"record":7}', '{"record":{"seq":-1}}', "[" * 99999,
                                  '{"record":{"seq":true}}', '{"type":"checkpoint","seq":"1"}'])
def test_what_is_no_line_has_no_place(line: str) -> None:
    assert place_of(line) is None
