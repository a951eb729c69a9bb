"""The launcher: a small process of its own, with one thread, that starts fences and sees them end.

It exists because a fence must die with the platform, and Linux ties a child's death signal to the *thread* that
started it: a fence started from a worker's thread pool would die with that thread. One thread also makes it safe
to run code between fork and exec. The launcher ends, and all its fences with it, as soon as its keeper does.

Started as root with the right to mount, it works in a mount namespace of its own, where it binds what a fence
reads under /run/ringfence, so that an unprivileged fence reaches an interpreter that lies in a closed home folder.

Keeper to launcher: {"do": "start", "id", "argv", "uid", "cgroups", "cpus", "rlimits", "binds", "log_bytes",
                     "wall_seconds"} + descriptors (3, the control connection, onwards in bubblewrap's view)
                    {"do": "kill", "id", "reason"}
Launcher to keeper: {"event": "hello", "view", "why"}, {"event": "started", "id", "pid"},
                    {"event": "ended", "id", "status", "signal", "entered", "cpu_seconds", "wall_seconds", "log",
                     "reason"}
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ringfence_workload.wire.messages import Connection, PeerGoneError

CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 2, 4, 1, 32, 4096, 16384, 1 << 19
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
FIRST_DESCRIPTOR = 3
READ_SIZE, MAX_STATUS = 1 << 16, 1 << 12
# A workload that floods its log is slowed to READ_SIZE bytes per this many seconds.
DRAIN_PAUSE = 0.02
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Fence:
    """One started bubblewrap process and what is known of it."""

    id: int
    pid: int
    pidfd: int
    log_fd: int
    status_fd: int
    log_bytes: int
    started: float
    deadline: float
    log: bytearray = field(default_factory=bytearray)
    cut: int = 0
    status: bytearray = field(default_factory=bytearray)
    init_fd: int = -1
    init: int = 0
    announced: bool = False
    reason: str = ""


class Launcher:
    """The event loop: the keeper's requests, fences' logs, fences' ends."""

    def __init__(self, connection: Connection, keeper_pid: int) -> None:
        self._keeper = connection
        self._keeper_fd = os.pidfd_open(keeper_pid)
        self._selector = selectors.DefaultSelector()
        self._fences: dict[int, Fence] = {}
        self._paused: dict[int, float] = {}
        self._binds: set[str] = set()
        self._running = True
        # The write end stays here alone: a workload that finds it closed knows that the launcher died.
        self._lifeline, self._held = os.pipe2(os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the keeper is gone; end every fence before returning."""
        self._watch(self._keeper.fileno(), self._request)
        self._watch(self._keeper_fd, self._stop)
        self._keeper.send({"event": "hello", **_own_mounts()})
        try:
            while self._running:
                for key, _ in self._selector.select(self._patience()):
                    # An earlier event of the same batch may have closed this descriptor, or even reused it.
                    now = self._selector.get_map().get(key.fd)
                    if now and now.data is key.data:
                        key.data()
                self._tick()
        except PeerGoneError:
            pass
        finally:
            for fence in list(self._fences.values()):
                _end(fence)

    def _stop(self) -> None:
        self._running = False

    def _watch(self, descriptor: int, action: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, action)

    def _unwatch(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def _patience(self) -> float | None:
        moments = [fence.deadline for fence in self._fences.values() if not fence.reason] + [*self._paused.values()]
        # The kernel takes no more than 2**31 ms; waking once an hour costs nothing.
        return min(max(0.0, min(moments) - time.monotonic()), 3600.0) if moments else None

    def _tick(self) -> None:
        now = time.monotonic()
        for fence in self._fences.values():
            if now >= fence.deadline and not fence.reason:
                fence.reason = f"it ran longer than its {fence.deadline - fence.started:.0f} s"
                _kill(fence)
        for number in [number for number, moment in self._paused.items() if now >= moment]:
            del self._paused[number]
            if number in self._fences:
                self._listen_to_log(self._fences[number])

    def _request(self) -> None:
        message = self._keeper.receive()
        try:
            if message.body["do"] == "start":
                self._start(message.body, message.descriptors)
            elif message.body["id"] in self._fences:
                fence = self._fences[message.body["id"]]
                fence.reason = fence.reason or message.body["reason"]
                _kill(fence)
        finally:
            message.close()

    def _start(self, request: dict[str, Any], descriptors: tuple[int, ...]) -> None:
        try:
            for place, source in request["binds"].items():
                self._bind(place, source)
            fence = _spawn(request, descriptors, self._lifeline)
        except OSError as error:
            self._keeper.send({"event": "ended", "id": request["id"], "status": 125, "signal": None, "entered": False,
                               "cpu_seconds": 0.0, "wall_seconds": 0.0, "log": f"fence: {error}", "reason": ""})
            return
        self._fences[fence.id] = fence
        self._watch(fence.pidfd, lambda: self._ended(fence))
        self._watch(fence.status_fd, lambda: self._learn(fence))
        self._listen_to_log(fence)

    def _bind(self, place: str, source: str) -> None:
        if place in self._binds:
            return
        if os.path.isdir(source):
            os.makedirs(place, mode=0o755, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        _mount(source, place, MS_BIND)
        _mount(source, place, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV | MS_NOSUID)
        self._binds.add(place)

    def _listen_to_log(self, fence: Fence) -> None:
        self._watch(fence.log_fd, lambda: self._read_log(fence))

    def _read_log(self, fence: Fence) -> None:
        data = _read(fence.log_fd)
        room = fence.log_bytes - len(fence.log)
        fence.log += data[:room]
        fence.cut += max(0, len(data) - room)
        if not data or fence.cut:
            self._unwatch(fence.log_fd)
        if data and fence.cut:
            self._paused[fence.id] = time.monotonic() + DRAIN_PAUSE

    def _learn(self, fence: Fence) -> None:
        data = _read(fence.status_fd)
        fence.status += data
        if not data or len(fence.status) > MAX_STATUS:
            self._unwatch(fence.status_fd)
        _note_first_process(fence)
        if fence.init and not fence.announced:
            fence.announced = True
            self._keeper.send({"event": "started", "id": fence.id, "pid": fence.init})

    def _ended(self, fence: Fence) -> None:
        _, status, usage = os.wait4(fence.pid, 0)
        fence.status += _read(fence.status_fd)
        _note_first_process(fence)
        _end_namespace(fence)
        self._finish_log(fence)
        for descriptor in (fence.pidfd, fence.log_fd, fence.status_fd):
            self._unwatch(descriptor)
            os.close(descriptor)
        if fence.init_fd >= 0:
            os.close(fence.init_fd)
        del self._fences[fence.id]
        self._paused.pop(fence.id, None)
        self._reap_strays()
        self._keeper.send({"event": "ended", "id": fence.id, **_how(status), "entered": b"exit-code" in fence.status,
                           "cpu_seconds": usage.ru_utime + usage.ru_stime,
                           "wall_seconds": time.monotonic() - fence.started,
                           "log": _text(fence), "reason": fence.reason})

    def _reap_strays(self) -> None:
        """A fence that was ended before its first process was known leaves that one to this process."""
        pids = {fence.pid for fence in self._fences.values()}
        with contextlib.suppress(ChildProcessError):
            while (child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and child.si_pid not in pids:
                os.waitpid(child.si_pid, 0)

    def _finish_log(self, fence: Fence) -> None:
        # The pipe holds at most 1 MiB, so this ends.
        while data := _read(fence.log_fd):
            room = fence.log_bytes - len(fence.log)
            fence.log += data[:room]
            fence.cut += max(0, len(data) - room)


def _how(status: int) -> dict[str, int | None]:
    """bubblewrap answers 128 + signal for a child that a signal ended; say it apart."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return {"status": None, "signal": -code}
    if 128 < code <= 128 + signal.NSIG:
        return {"status": None, "signal": code - 128}
    return {"status": code, "signal": None}


def _text(fence: Fence) -> str:
    text = fence.log.decode("utf-8", "replace")
    return text + (f"\n[{fence.cut} more bytes were cut off]\n" if fence.cut else "")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_SIZE)
    except BlockingIOError:
        return b""


def _note_first_process(fence: Fence) -> None:
    if fence.init or b"\n" not in fence.status:
        return
    with contextlib.suppress(ValueError, KeyError, ProcessLookupError):
        fence.init = int(json.loads(fence.status.split(b"\n")[0])["child-pid"])
        fence.init_fd = os.pidfd_open(fence.init)


def _kill(fence: Fence) -> None:
    """End the fence's first process: the kernel ends everything in its pid namespace, bubblewrap sees it and ends."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(fence.init_fd if fence.init_fd >= 0 else fence.pidfd, signal.SIGKILL)


def _end_namespace(fence: Fence) -> None:
    if fence.init_fd < 0:
        return
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(fence.init_fd, signal.SIGKILL)
    with selectors.DefaultSelector() as selector:
        selector.register(fence.init_fd, selectors.EVENT_READ)
        selector.select(5)


def _end(fence: Fence) -> None:
    _kill(fence)
    _end_namespace(fence)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(fence.pid, 0)


def _spawn(request: dict[str, Any], descriptors: tuple[int, ...], lifeline: int) -> Fence:
    log_read, log_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    status_read, status_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(log_write, True)
    launcher = os.getpid()
    pid = os.fork()
    if not pid:
        _become(request, [*descriptors, status_write, lifeline], log_write, launcher)
    os.close(log_write)
    os.close(status_write)
    now = time.monotonic()
    return Fence(request["id"], pid, os.pidfd_open(pid), log_read, status_read, request["log_bytes"], now,
                 now + request["wall_seconds"])


def _become(request: dict[str, Any], descriptors: list[int], log: int, launcher: int) -> None:
    """In the child: take limits, give up rights, arrange descriptors, become bubblewrap. Never returns."""
    try:
        for procs in request["cgroups"]:
            with open(procs, "w", encoding="ascii") as file:
                file.write("0")
        if request["cpus"]:
            os.sched_setaffinity(0, request["cpus"])
        _arrange(descriptors, log)
        for name, value in request["rlimits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        _give_up_rights(request["uid"])
        _die_with(launcher)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve(request["argv"][0], request["argv"], {})  # noqa: S606
    except BaseException as error:
        os.write(2, f"fence: {error}\n".encode())
    finally:
        os._exit(125)


def _arrange(descriptors: list[int], log: int) -> None:
    """Make stdin empty, stdout and stderr the log, 3 onwards the given descriptors, and close all others."""
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 100) for descriptor in (null, log, log, *descriptors)]
    for target, source in enumerate(high):
        os.dup2(source, target, inheritable=True)
    os.closerange(len(high), max(high) + 1)


def _give_up_rights(uid: int | None) -> None:
    os.umask(0o077)
    os.chdir("/")
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _die_with(launcher: int) -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != launcher:
        raise ProcessLookupError("the launcher is gone")


def _own_mounts() -> dict[str, str]:
    """Enter a mount namespace with an empty /run/ringfence; say where it is, or why there is none."""
    if os.geteuid() != 0:
        return {"view": "", "why": "not root"}
    view = "/run/ringfence"
    try:
        os.makedirs(view, mode=0o755, exist_ok=True)
        if _libc.unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        _mount("none", "/", MS_REC | MS_SLAVE)
        _mount("tmpfs", view, MS_NOSUID | MS_NODEV, b"mode=0711,size=1m")
    except OSError as error:
        return {"view": "", "why": str(error)}
    return {"view": view, "why": ""}


def _mount(source: str, target: str, flags: int, data: bytes | None = None) -> None:
    kind = source.encode() if source == "tmpfs" else None
    if _libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), data):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source}: {os.strerror(number)}")


def main(descriptor: int, keeper_pid: int) -> None:
    """Run the launcher over the inherited socket `descriptor` for the process `keeper_pid`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.umask(0o022)  # the keeper's may be closed; what lies under /run/ringfence must be open to every fence's user
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Launcher(Connection.from_descriptor(descriptor), keeper_pid).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
