"""Start and stop the platform of this machine from outside: what `ringfence up` and `down` do."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from ringfence.errors import ConflictError, RingfenceError, UnavailableError, from_problem
from ringfence.supervisor.home import Home, State, holder, read_last_state, read_state, unusable

_START_SECONDS, _STOP_SECONDS, _POLL_SECONDS = 60.0, 25.0, 0.05
_ROOM = 1 << 20  # bytes: less than a new platform needs


def up(path: Path, port: int | None = None) -> State:
    """Start the platform in the home `path` unless it runs, and return once it answers.

    Raises:
        ConflictError: it runs already, on another port than the one asked for.
        UnavailableError: it did not start; the problem that its log or its server named.
    """
    home = Home(path)
    home.prepare()
    running = read_state(home)
    daemon = None if running and running.phase not in ("stopping", "failed") else _start(home, port)
    state = _wait_until_ready(home, daemon)
    if port is not None and state.port != port:
        raise ConflictError("platform.other_port", f"The platform already runs on port {state.port}.",
                            fix="Use it there, or run `ringfence down` first.", field="port", value=str(port))
    return state


def foreground(path: Path, port: int | None = None) -> NoReturn:
    """Become the supervisor, until Ctrl-C."""
    home = Home(path)
    home.prepare()
    os.execve(sys.executable, _command(), _environment(home, port))  # noqa: S606 - the platform's own module


def down(path: Path) -> bool:
    """Stop the platform in the home `path`; return whether it ran.

    Raises:
        UnavailableError: it did not stop.
    """
    home = Home(path)
    process = holder(home.lock_file)
    if process is None:
        return False
    for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
        if _wait_until_unlocked(home, patience):
            return True
    raise UnavailableError("platform.not_stopping", f"The supervisor (process {process}) does not stop.",
                           fix=f"Look into {home.logs / 'supervisor.log'}.")


def _start(home: Home, port: int | None) -> subprocess.Popen[bytes]:
    _wait_until_unlocked(home, _STOP_SECONDS)
    log = home.logs / "supervisor.stdio.log"
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as output:
        return subprocess.Popen(_command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                start_new_session=True, close_fds=True, cwd="/", env=_environment(home, port))


def _command() -> list[str]:
    return [sys.executable, "-m", "ringfence.supervisor.daemon"]


def _environment(home: Home, port: int | None) -> dict[str, str]:
    extra = {"RINGFENCE_HOME": str(home.path)}
    if port is not None:
        extra["RINGFENCE_SERVER__PORT"] = str(port)
    return {**os.environ, **extra}


def _wait_until_ready(home: Home, daemon: subprocess.Popen[bytes] | None) -> State:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        ended = daemon is not None and daemon.poll() is not None
        state = read_state(home)
        if state and state.phase == "ready":
            return state
        if state is None and (ended or daemon is None):
            raise _failure(home, daemon.pid if daemon else 0)
        time.sleep(_POLL_SECONDS)
    raise UnavailableError("platform.slow_start", f"The platform did not answer within {_START_SECONDS:.0f} s.",
                           fix=f"Look into {home.logs / 'server.log'}.")


def _failure(home: Home, process: int) -> RingfenceError:
    state = read_last_state(home)
    problem = from_problem(state.problem) if state and state.problem and process in (state.process, 0) else None
    if problem and problem.code != "platform.start_failed":
        return problem
    if shutil.disk_usage(home.path).free < _ROOM:  # then nobody could write down why it ended
        return unusable(home.path, OSError(errno.ENOSPC, ""))
    if problem:
        return problem
    output = _last_line(home.logs / "supervisor.stdio.log")
    return UnavailableError("platform.start_failed", output or "The platform ended while it started.",
                            fix=f"Look into {home.logs / 'supervisor.log'}.")


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def _wait_until_unlocked(home: Home, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while holder(home.lock_file) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
