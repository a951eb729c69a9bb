"""The platform starts, answers, and stops: once, twice at a time, after a kill, and not on a taken port."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ringfence_command import RINGFENCE, Home

from ringfence.supervisor.home import Home as Layout
from ringfence.supervisor.home import holder, read_state

PASSWORD = "correct horse battery 9"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def descendants(process: int) -> set[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines())}
    found = {process}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def supervisor_of(home: Home) -> int:
    process = holder(Layout(home.path).lock_file)
    assert process is not None
    return process


def handshake(home: Home, url: str, newest: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cafile=str(home.path / "platform" / "ca" / "ca.pem"))
    context.maximum_version = newest
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        return context.wrap_socket(raw, server_hostname=address.hostname).version()


@pytest.fixture
def up(home: Home) -> dict[str, str]:
    answer: dict[str, str] = home.json("up", "--port", free_port())
    return answer


def test_it_answers_over_tls_1_3_to_those_who_log_in(home: Home, up: dict[str, str]) -> None:
    assert up["login"] == "ringfence login --bootstrap"
    assert up["demo"] is False
    assert handshake(home, up["url"], ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        handshake(home, up["url"], ssl.TLSVersion.TLSv1_2)
    refused = home.run("status")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "ringfence login" in refused.stderr
    assert home.run("login", "ada.admin", "--bootstrap", "--password-stdin", stdin=PASSWORD).returncode == 0
    assert home.json("whoami")["roles"] == ["platform_engineer"]
    assert home.json("status")["worker"] == {"alive": True}
    again = home.run("login", "eve", "--bootstrap", "--password-stdin", stdin=PASSWORD)
    assert again.returncode == 1
    assert home.run("login", "ada.admin", "--password-stdin", stdin="wrong").returncode == 1


def test_everything_in_the_home_is_its_owners_alone(home: Home, up: dict[str, str]) -> None:
    assert home.run("login", "ada.admin", "--bootstrap", "--password-stdin", stdin=PASSWORD).returncode == 0
    open_to_others = [str(path) for path in (home.path, *home.path.rglob("*"))
                      if not path.is_symlink() and path.stat().st_mode & 0o077 and path.suffix != ".pem"]
    assert open_to_others == []


def test_starting_it_again_changes_nothing(home: Home, up: dict[str, str]) -> None:
    supervisor = supervisor_of(home)
    assert home.json("up")["url"] == up["url"]
    assert supervisor_of(home) == supervisor
    elsewhere = home.run("up", "--port", free_port())
    assert elsewhere.returncode == 1
    assert up["url"].rpartition(":")[2] in elsewhere.stderr


def test_stopping_it_leaves_nothing_behind(home: Home, up: dict[str, str]) -> None:
    processes = {supervisor_of(home), *descendants(supervisor_of(home))}
    assert len(processes) >= 3
    assert home.json("down") == {"stopped": True}
    assert not [process for process in processes if lives(process)]
    with pytest.raises(ConnectionRefusedError):
        handshake(home, up["url"], ssl.TLSVersion.TLSv1_3)
    assert home.json("down") == {"stopped": False}
    unreachable = home.run("--debug", "login", "ada", "--password-stdin", stdin=PASSWORD)
    assert "Nothing answers" in unreachable.stderr


def test_what_was_kept_is_there_after_a_kill(home: Home, up: dict[str, str]) -> None:
    assert home.run("login", "ada.admin", "--bootstrap", "--password-stdin", stdin=PASSWORD).returncode == 0
    supervisor = supervisor_of(home)
    children = descendants(supervisor)
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: not [process for process in children if lives(process)])
    assert home.json("up", "--port", up["url"].rpartition(":")[2])["url"] == up["url"]
    assert home.json("whoami")["name"] == "ada.admin"


def test_a_port_in_use_is_named_with_the_way_out(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = home.run("up", "--port", port)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (f"Port {port} is used by another program. "
                              "Choose another one with --port.\n")
    assert holder(Layout(home.path).lock_file) is None
    assert home.json("up", "--port", port)["url"].endswith(port)


def test_two_starts_at_once_make_one_platform(home: Home) -> None:
    port = free_port()
    both = [home.start("up", "--port", port, "--json") for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len(descendants(supervisor_of(home))) >= 2


def test_a_missing_part_is_named_in_one_line(home: Home) -> None:
    nowhere = str(home.path / "nowhere")
    finished = subprocess.run([RINGFENCE, "up", "--port", free_port()], capture_output=True, text=True,
                              check=False, env={**home.environment(), "RINGFENCE_POLICIES": nowhere}, timeout=120)
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1
    assert nowhere in finished.stderr


def test_in_the_foreground_it_ends_with_ctrl_c(home: Home) -> None:
    process = home.start("up", "--foreground", "--port", free_port())
    layout = Layout(home.path)
    assert eventually(lambda: (state := read_state(layout)) is not None and state.phase == "ready")
    children = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not [child for child in children if lives(child)]
