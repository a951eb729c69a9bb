"""The keeper's side of the launcher: start it, send it plans, learn how fences ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ringfence_workload
from ringfence.errors import UnavailableError
from ringfence_workload.wire.messages import Connection, PeerGoneError, PeerMisbehavedError

HELLO_SECONDS = 20.0
# -I and -S keep the user's environment and site packages out of a process that may run as root.
_START = "import sys; sys.path.insert(0, sys.argv[3]); from ringfence.sandbox.launcher import main; " \
         "main(int(sys.argv[1]), int(sys.argv[2]))"


@dataclass(frozen=True)
class Plan:
    """One fence: its command, who it becomes, its limits. Sent to the launcher as JSON."""

    argv: Sequence[str]
    uid: int | None
    cgroups: Sequence[str]
    cpus: Sequence[int]
    rlimits: Mapping[str, int]
    binds: Mapping[str, str]
    log_bytes: int
    wall_seconds: float


@dataclass
class Launched:
    """What is known of one fence; `report` is set once it has ended."""

    number: int
    pid: int = 0
    report: dict[str, Any] = field(default_factory=dict)
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


class LauncherProcess:
    """One launcher. Safe for use by many threads."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        source = str(Path(ringfence_workload.__file__).resolve().parents[1])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(theirs.fileno()), str(os.getpid()), source],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True)
        self._connection = Connection(ours)
        self._lock = threading.Lock()
        self._fences: dict[int, Launched] = {}
        self._next = 0
        self.owner = os.getpid()
        self.view, self.why_no_view = self._hello()
        self.alive = True
        threading.Thread(target=self._listen, name="launcher", daemon=True).start()

    def _hello(self) -> tuple[str, str]:
        try:
            body = self._connection.receive(HELLO_SECONDS).body
        except (OSError, TimeoutError, PeerMisbehavedError) as error:
            self._process.kill()
            self._process.wait()
            raise UnavailableError("sandbox.launcher_failed", f"The launcher of fences did not start: {error}.",
                                   fix="Run `ringfence doctor`.") from error
        return body["view"], body["why"]

    def launch(self, plan: Plan, descriptors: Sequence[int]) -> Launched:
        """Start a fence; return once its first process exists, or it has ended.

        Raises:
            UnavailableError: the launcher is gone.
        """
        with self._lock:
            self._next += 1
            launched = self._fences[self._next] = Launched(self._next)
            self._send({"do": "start", "id": launched.number, **vars(plan)}, descriptors)
        if not self.alive:
            self._bury()
        launched.started.wait()
        return launched

    def kill(self, launched: Launched, reason: str) -> None:
        """Ask for a fence's end; its report says `reason`."""
        with self._lock:
            if not launched.ended.is_set():
                self._send({"do": "kill", "id": launched.number, "reason": reason})

    def close(self) -> None:
        """End the launcher and every fence it holds."""
        self.alive = False
        self._connection.shut()
        self._process.wait()

    def _send(self, body: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            self._connection.send(body, descriptors)
        except PeerGoneError:
            self.alive = False

    def _listen(self) -> None:
        try:
            while True:
                self._take(self._connection.receive().body)
        except (PeerGoneError, PeerMisbehavedError):
            self.alive = False
            self._process.wait()
            self._bury()

    def _take(self, body: dict[str, Any]) -> None:
        with self._lock:
            launched = self._fences[body["id"]]
            if body["event"] == "ended":
                del self._fences[body["id"]]
        if body["event"] == "ended":
            launched.report = body
            launched.ended.set()
        else:
            launched.pid = body["pid"]
        launched.started.set()

    def _bury(self) -> None:
        """The launcher is gone, and every fence with it."""
        with self._lock:
            fences = list(self._fences.values())
            self._fences.clear()
        for launched in fences:
            launched.report = {"status": None, "signal": None, "entered": True, "cpu_seconds": 0.0, "wall_seconds": 0.0,
                               "log": "", "reason": "its launcher ended"}
            launched.ended.set()
            launched.started.set()
