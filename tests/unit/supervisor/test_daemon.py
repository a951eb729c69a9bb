"""The supervisor over real processes: what it publishes, restarts, and takes with it when it goes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.supervisor.home import Home, State, holder, read_last_state, read_state
from tests.unit.supervisor.rehearsal import eventually, start


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    return home


@pytest.fixture
def supervisor(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    process = start(home.path)
    assert eventually(lambda: phase(home) == "ready"), log(home)
    yield process
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def phase(home: Home) -> str:
    state = read_state(home)
    return state.phase if state else "none"


def log(home: Home) -> str:
    return "\n".join(path.read_text() for path in home.logs.glob("*.log")) if home.logs.exists() else "no logs"


def process_of(home: Home, name: str) -> int:
    return int((home.run / f"{name}.pid").read_text())


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_publishes_where_the_platform_answers(home: Home, supervisor: subprocess.Popen[bytes]) -> None:
    state = read_state(home)
    assert state == State("ready", supervisor.pid, "https://127.0.0.1:8443", 8443, state.version if state else "")
    assert holder(home.lock_file) == supervisor.pid
    for folder in (home.platform, home.run, home.logs):
        assert folder.stat().st_mode & 0o777 == 0o700
    for file in home.logs.iterdir():
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["server", "worker"])
def test_a_dead_child_is_started_again(home: Home, supervisor: subprocess.Popen[bytes], name: str) -> None:
    other = process_of(home, "worker" if name == "server" else "server")
    first = process_of(home, name)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: process_of(home, name) != first and lives(process_of(home, name)))
    assert lives(other)
    assert phase(home) == "ready"
    assert supervisor.poll() is None


def test_a_stop_ends_every_child(home: Home, supervisor: subprocess.Popen[bytes]) -> None:
    children = [process_of(home, name) for name in ("server", "worker")]
    supervisor.terminate()
    assert supervisor.wait(20) == 0
    assert not any(lives(child) for child in children)
    assert read_state(home) is None
    last = read_last_state(home)
    assert last is not None
    assert last.phase == "stopped"


def test_a_child_that_will_not_stop_is_killed(home: Home) -> None:
    (home.path / "worker.deaf").touch()
    process = start(home.path)
    try:
        assert eventually(lambda: phase(home) == "ready"), log(home)
        worker = process_of(home, "worker")
        process.terminate()
        assert process.wait(20) == 0
        assert not lives(worker)
    finally:
        process.kill()
        process.communicate()


def test_killed_it_takes_its_children_along_and_lets_go_of_the_home(
        home: Home, supervisor: subprocess.Popen[bytes]) -> None:
    children = [process_of(home, name) for name in ("server", "worker")]
    supervisor.kill()
    supervisor.wait()
    assert eventually(lambda: not any(lives(child) for child in children))
    assert holder(home.lock_file) is None
    assert read_state(home) is None


def test_a_home_in_use_is_refused(home: Home, supervisor: subprocess.Popen[bytes]) -> None:
    second = start(home.path)
    _, message = second.communicate(timeout=20)
    assert second.returncode == 1
    assert b"Another supervisor runs the platform" in message
    assert supervisor.poll() is None
    assert phase(home) == "ready"


@pytest.mark.parametrize("name", ["server", "worker"])
def test_what_a_child_refuses_to_start_with_is_published(home: Home, name: str) -> None:
    (home.path / f"{name}.refuses").touch()
    process = start(home.path)
    process.communicate(timeout=20)
    assert process.returncode == 1
    last = read_last_state(home)
    assert last is not None
    assert (last.phase, last.problem["code"]) == ("failed", "port.in_use")
    assert not lives(process_of(home, "server"))


def test_a_child_that_crashes_at_the_start_is_named_with_its_log(home: Home) -> None:
    (home.path / "server.crashes").touch()
    process = start(home.path)
    process.communicate(timeout=20)
    last = read_last_state(home)
    assert last is not None
    assert last.problem["code"] == "platform.start_failed"
    assert str(home.logs / "server.log") in last.problem["fix"]
    assert "boom" in (home.logs / "server.log").read_text()


def test_a_state_that_a_dead_supervisor_left_is_not_taken_for_a_living_one(home: Home) -> None:
    home.prepare()
    State("ready", os.getpid(), "https://127.0.0.1:1", 1).write(home)
    assert read_state(home) is None
