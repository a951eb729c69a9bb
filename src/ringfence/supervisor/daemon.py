"""The supervisor's loop: prepare and start the server, then the worker; restart what dies; end them together.

`python -m ringfence.supervisor.daemon` runs it; `ringfence up` starts that as a daemon of its own session.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ringfence import __version__
from ringfence.errors import RingfenceError, UnavailableError
from ringfence.settings import Settings, load
from ringfence.supervisor.child import log_to
from ringfence.supervisor.home import Home, State, locked

log = logging.getLogger(__name__)

MODULES = {"server": "ringfence.api", "worker": "ringfence.worker"}
_GRACE_SECONDS = 10.0
_STDIO_BYTES = 1 << 20
_FIRST_WAIT, _LONGEST_WAIT, _HEALTHY_SECONDS = 0.5, 30.0, 60.0


@dataclass
class Child:
    """One supervised process and when to start it again."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    handle: int = -1
    buffer: bytes = b""
    started: float = 0.0
    wait: float = _FIRST_WAIT
    due: float | None = None
    problem: dict[str, Any] = field(default_factory=dict)


class Supervisor:
    """Runs in the main thread of its own process, as the kernel ties a child's life to the thread that started it."""

    def __init__(self, settings: Settings, modules: Mapping[str, str] = MODULES) -> None:
        self._home, self._port = Home(settings.home), settings.server.port
        self._state = State("starting", os.getpid(), port=self._port, version=__version__)
        self._modules = dict(modules)
        self._children = {name: Child(name) for name in modules}
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._ready: set[str] = set()
        self._url = ""

    def run(self) -> int:
        """Supervise until told to stop; return the exit status.

        Raises:
            ConflictError: another supervisor holds the home.
        """
        self._home.prepare()
        with locked(self._home):
            self._state.write(self._home)
            self._watch_signals()
            self._start(self._children["server"], "--prepare")
            while not self._stopping:
                self._wait()
                self._start_due()
            self._end_children()
            failed = self._state.phase == "failed"
            if not failed:
                self._publish("stopped")
            return 1 if failed else 0

    def _watch_signals(self) -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        self._selector.register(reading, selectors.EVENT_READ, lambda: os.read(reading, 64))

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wait(self) -> None:
        due = [child.due for child in self._children.values() if child.due is not None]
        timeout = max(0.0, min(due) - time.monotonic()) if due else None
        for key, _ in self._selector.select(timeout):
            key.data()

    def _start_due(self) -> None:
        for child in self._children.values():
            if not self._stopping and child.due is not None and child.due <= time.monotonic():
                self._start(child)

    def _start(self, child: Child, *arguments: str) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        command = [sys.executable, "-m", self._modules[child.name], str(os.getpid()), str(writing), *arguments]
        with _output(self._home.logs / f"{child.name}.stdio.log") as output:
            child.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                             pass_fds=(writing,), process_group=0)
        os.close(writing)
        child.pipe, child.handle = reading, os.pidfd_open(child.process.pid)
        child.buffer, child.due, child.started, child.problem = b"", None, time.monotonic(), {}
        self._selector.register(reading, selectors.EVENT_READ, lambda: self._read(child))
        self._selector.register(child.handle, selectors.EVENT_READ, lambda: self._ended(child))
        log.info("%s started as process %d", child.name, child.process.pid)

    def _read(self, child: Child) -> None:
        if child.pipe < 0:
            return
        data = self._received(child)
        child.buffer += data
        *lines, child.buffer = child.buffer.split(b"\n")
        for line in lines:
            self._heard(child, json.loads(line))
        if not data and child.pipe in self._selector.get_map():
            self._selector.unregister(child.pipe)

    @staticmethod
    def _received(child: Child) -> bytes:
        parts = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(child.pipe, 65536):
                parts.append(part)
        return b"".join(parts)

    def _heard(self, child: Child, message: dict[str, Any]) -> None:
        if message["event"] == "problem":
            child.problem = message["problem"]
        elif message["event"] == "prepared" and self._children["worker"].process is None:
            self._start(self._children["worker"])
        elif message["event"] == "ready":
            self._ready.add(child.name)
            self._url = message.get("url", self._url)
            if len(self._ready) == len(self._modules):
                self._publish("ready", url=self._url)

    def _ended(self, child: Child) -> None:
        if child.process is None or child.process.poll() is None:
            return
        if child.pipe in self._selector.get_map():
            self._read(child)
        self._forget(child)
        status = child.process.returncode
        log.warning("%s ended with status %d", child.name, status)
        if self._stopping:
            return
        if child.name not in self._ready:
            self._fail(child, status)
            return
        if time.monotonic() - child.started > _HEALTHY_SECONDS:
            child.wait = _FIRST_WAIT
        child.due, child.wait = time.monotonic() + child.wait, min(child.wait * 2, _LONGEST_WAIT)

    def _forget(self, child: Child) -> None:
        for descriptor in (child.pipe, child.handle):
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
            os.close(descriptor)
        child.pipe = child.handle = -1

    def _fail(self, child: Child, status: int) -> None:
        problem = child.problem or UnavailableError(
            "platform.start_failed", f"The platform's {child.name} ended with status {status} while it started.",
            fix=f"Its log says why: {self._home.logs / child.name}.log").as_problem()
        self._publish("failed", problem=problem)
        self._stopping = True

    def _publish(self, phase: Any, **changes: Any) -> None:
        values = {"url": self._state.url, "problem": {}, **changes}
        self._state = State(phase, self._state.process, values["url"], self._port, __version__, values["problem"])
        self._state.write(self._home)
        log.info("the platform is %s", phase)

    def _end_children(self) -> None:
        if self._state.phase != "failed":
            self._publish("stopping")
        living = [child.process for child in self._children.values() if child.process and child.process.poll() is None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in living:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process %d did not stop in time and is killed", process.pid)
                process.kill()
                process.wait()


def _output(path: Path) -> BinaryIO:
    too_long = path.exists() and path.stat().st_size > _STDIO_BYTES
    return path.open("wb" if too_long else "ab")


def main() -> int:
    """Run the supervisor in this process."""
    os.umask(0o077)
    try:
        settings = load()
        home = Home(settings.home)
        home.prepare()
        log_to(home.logs / "supervisor.log")
        return Supervisor(settings).run()
    except RingfenceError as error:
        print(error.line(), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
