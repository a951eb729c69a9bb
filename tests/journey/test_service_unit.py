"""The systemd unit: systemd understands it, and the command that it starts ends well when it is told to."""

from __future__ import annotations

import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from ringfence_command import RINGFENCE, Home

from ringfence.supervisor.home import Home as Layout
from ringfence.supervisor.home import read_last_state, read_state

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "ringfence.service"
INSTALLED = "/opt/ringfence/bin/ringfence"


def setting(name: str) -> str:
    """The value of a line of the unit that stands there once."""
    (line,) = [line for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]
    return line.partition("=")[2]


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed here")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(INSTALLED, RINGFENCE))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True,
                             check=False, env={"PATH": "/usr/bin:/bin", "SYSTEMD_LOG_LEVEL": "warning"})
    complaints = [line for line in checked.stderr.splitlines() if str(unit) in line or UNIT.name in line]
    assert checked.returncode == 0, checked.stderr
    assert complaints == []


def test_the_state_of_the_service_is_the_home_of_the_platform() -> None:
    assert f"RINGFENCE_HOME=/var/lib/{setting('StateDirectory')} " in setting("Environment")


def test_what_it_starts_runs_until_systemd_ends_it(home: Home) -> None:
    program, *arguments = shlex.split(setting("ExecStart"))
    assert program == INSTALLED
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen([RINGFENCE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               env={**home.environment(), "RINGFENCE_SERVER__PORT": port}, start_new_session=True)
    layout, deadline = Layout(home.path), time.monotonic() + 60
    while (state := read_state(layout)) is None or state.phase != "ready":
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (state.process, state.port) == (process.pid, int(port))  # systemd watches the supervisor itself
    process.send_signal(signal.SIGTERM)
    assert process.wait(int(setting("TimeoutStopSec"))) == 0
    ended = read_last_state(layout)
    assert ended is not None
    assert ended.phase == "stopped"
