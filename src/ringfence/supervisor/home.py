"""The home folder: its layout, its modes, and what the running supervisor says about itself in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ringfence.errors import DISK_FULL, ConflictError, UnavailableError

_FLOCK = struct.Struct("hhqqi0q")  # struct flock of 64-bit Linux (`fcntl(2)`)


@dataclass(frozen=True)
class Home:
    """Paths below one home folder."""

    path: Path

    @property
    def platform(self) -> Path:
        """Return the control plane's folder."""
        return self.path / "platform"

    @property
    def run(self) -> Path:
        """Return the folder of locks and of the supervisor's state."""
        return self.platform / "run"

    @property
    def logs(self) -> Path:
        """Return the folder of the processes' logs."""
        return self.platform / "logs"

    @property
    def lock_file(self) -> Path:
        """Return the file that the supervisor holds locked as long as it lives."""
        return self.run / "supervisor.lock"

    @property
    def worker_lock_file(self) -> Path:
        """Return the file that the worker holds locked as long as it lives."""
        return self.run / "worker.lock"

    @property
    def state_file(self) -> Path:
        """Return the file in which the supervisor says how the platform does."""
        return self.run / "state.json"

    @property
    def authority_file(self) -> Path:
        """Return the certificate of the platform's authority: what a client must trust."""
        return self.platform / "ca" / "ca.pem"

    @property
    def bootstrap_file(self) -> Path:
        """Return the file of the one-time token with which the first administrator is created."""
        return self.platform / "bootstrap-token"

    @property
    def demo_file(self) -> Path:
        """Return the file whose presence marks the home as a demo; nothing ever removes it."""
        return self.path / "DEMO"

    @property
    def is_demo(self) -> bool:
        """Say whether a quickstart made this home: then it is a demo for ever, and no place for real records."""
        return self.demo_file.exists()

    def prepare(self) -> None:
        """Make the folders, each for its owner alone.

        Raises:
            UnavailableError: a folder can't be made, or belongs to someone else.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.platform, self.run, self.logs, self.path / "client"):
                folder.mkdir(mode=0o700, exist_ok=True)
                if stat.S_IMODE(folder.stat().st_mode) != 0o700:
                    folder.chmod(0o700)
        except OSError as error:
            raise unusable(self.path, error) from error


def unusable(path: Path, error: OSError) -> UnavailableError:
    """Return the error that says why a home folder can't be worked in."""
    if error.errno in DISK_FULL:
        return UnavailableError("storage.disk_full", f"The disk that holds {path} is full.", field="home",
                                value=str(path), fix="Free some space and run the command again.")
    return UnavailableError("home.unusable", f"The home folder {path} can't be used: {error.strerror}.", field="home",
                            value=str(path), fix="Set RINGFENCE_HOME to a folder that you own.")


@dataclass(frozen=True)
class State:
    """How the platform does; `process` is the supervisor's."""

    phase: Literal["starting", "ready", "failed", "stopping", "stopped"]
    process: int = 0
    url: str = ""
    port: int = 0
    version: str = ""
    problem: dict[str, Any] = field(default_factory=dict)

    def write(self, home: Home) -> None:
        """Publish the state, whole or not at all."""
        draft = home.run / f"state.{os.getpid()}.tmp"
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(home.state_file)


def read_state(home: Home) -> State | None:
    """Return the state of the supervisor that lives now; None when there is none."""
    process = holder(home.lock_file)
    if process is None:
        return None
    state = read_last_state(home)
    return state if state and state.process == process else State("starting", process)


def read_last_state(home: Home) -> State | None:
    """Return what the last supervisor left, alive or not."""
    try:
        return State(**json.loads(home.state_file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def locked(home: Home) -> Iterator[None]:
    """Hold the home for the block; the kernel lets go of it when the process dies, however it dies.

    Raises:
        ConflictError: another supervisor holds it.
    """
    descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise ConflictError("home.in_use", f"Another supervisor runs the platform in {home.path}.",
                                fix="Stop it with `ringfence down`, or use another RINGFENCE_HOME.",
                                field="home", value=str(home.path)) from None
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """Return the process that holds the lock file; None when nobody does. Never takes the lock itself, not even
    for a moment, so that a supervisor that starts just now can't be turned away by someone who only looks."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(descriptor)
    kind, _, _, _, process = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else int(process)
