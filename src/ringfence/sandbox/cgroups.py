"""Limits of memory, processes and CPU time that hold for a whole fence: cgroups, version 1 or 2.

Groups are children of this process's own group. Version 2 lets a group have children with limits only while no
process lies in it, so its processes are first moved into a leaf. Sources: Linux `cgroups(7)`, `cgroup-v2.rst`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from dataclasses import dataclass
from pathlib import Path

PREFIX = "ringfence"
LIMITED = ("memory", "pids")
REMOVAL_SECONDS = 5.0


@dataclass(frozen=True)
class Usage:
    """What a group has seen: CPU seconds (None where not counted), kills for memory, refused forks."""

    cpu_seconds: float | None
    memory_kills: int
    refused_processes: int


@dataclass(frozen=True)
class Group:
    """The folders of one fence's group: one for version 2, one per controller for version 1."""

    folders: tuple[Path, ...]

    @property
    def procs(self) -> list[str]:
        """The files a process writes "0" to in order to join."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def usage(self) -> Usage:
        """Read the counters."""
        cpu = self._number("cpuacct.usage", 1e9)
        return Usage(self._counter("cpu.stat", "usage_usec", 1e6) if cpu is None else cpu,
                     int(self._counter("memory.events", "oom_kill")
                         or self._counter("memory.oom_control", "oom_kill") or 0),
                     int(self._counter("pids.events", "max") or 0))

    def remove(self) -> None:
        """End what is left in the group and remove its folders; the kernel needs a moment for that."""
        deadline = time.monotonic() + REMOVAL_SECONDS
        for folder in self.folders:
            while not _removed(folder) and time.monotonic() < deadline:
                _end_members(folder)
                time.sleep(0.005)

    def _number(self, file: str, scale: float) -> float | None:
        for folder in self.folders:
            with contextlib.suppress(OSError, ValueError):
                return int((folder / file).read_text()) / scale
        return None

    def _counter(self, file: str, key: str, scale: float = 1.0) -> float | None:
        for folder in self.folders:
            with contextlib.suppress(OSError, ValueError):
                for line in (folder / file).read_text().splitlines():
                    name, _, value = line.partition(" ")
                    if name == key:
                        return int(value) / scale
        return None


class Cgroups:
    """Where this process may make groups, and with which limits."""

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        own = _own_groups(proc)
        self._unified = own.get("")
        self._version2 = self._unified is not None and set(LIMITED) <= _words(self._unified / "cgroup.controllers")
        self._parents = {name: folder for name, folder in own.items()
                         if name in (*LIMITED, "cpuacct") and os.access(folder, os.W_OK)}
        self.why_not = self._prepare()
        self._sweep()

    @property
    def enforced(self) -> frozenset[str]:
        """The controllers ("memory", "pids") that limit a fence here."""
        if self._version2:
            return frozenset() if self.why_not else frozenset(LIMITED)
        return frozenset(LIMITED) & self._parents.keys()

    def create(self, memory: int, processes: int) -> Group:
        """Make one group: `memory` in bytes (swap included), at most `processes` tasks.

        Raises:
            OSError: the kernel refused.
        """
        name = f"{PREFIX}-{os.getpid()}-{secrets.token_hex(4)}"
        group = Group(tuple(parent / name for parent in self._folders()))
        for folder in group.folders:
            folder.mkdir()
        _write(group, "memory.limit_in_bytes", memory)
        _write(group, "memory.memsw.limit_in_bytes", memory)
        _write(group, "memory.max", memory)
        _write(group, "memory.swap.max", 0)
        _write(group, "memory.oom.group", 1)
        _write(group, "pids.max", processes)
        return group

    def _folders(self) -> list[Path]:
        if self._version2:
            return [self._unified] if self._unified and not self.why_not else []
        return list(dict.fromkeys(self._parents.values()))

    def _prepare(self) -> str:
        if not self._version2:
            missing = set(LIMITED) - self._parents.keys()
            return f"no writable cgroup for {' and '.join(sorted(missing))}" if missing else ""
        assert self._unified is not None
        try:
            _delegate(self._unified)
        except OSError as error:
            return f"{self._unified} can't be used: {error.strerror}"
        return ""

    def _sweep(self) -> None:
        """Remove what a keeper that died left behind."""
        for parent in self._folders():
            for folder in parent.glob(f"{PREFIX}-*-*"):
                if not Path("/proc", folder.name.split("-")[1]).exists():
                    Group((folder,)).remove()


def _delegate(group: Path) -> None:
    if set(LIMITED) <= _words(group / "cgroup.subtree_control"):
        return
    leaf = group / f"{PREFIX}-keeper"
    leaf.mkdir(exist_ok=True)
    for _ in range(10):
        pids = (group / "cgroup.procs").read_text().split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (leaf / "cgroup.procs").write_text(pid)
        if not pids:
            break
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in LIMITED))


def _own_groups(proc: Path) -> dict[str, Path]:
    """Return this process's group by controller; "" is version 2's."""
    mounts = _mounts(proc)
    groups = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            if name in mounts:
                root, mountpoint = mounts[name]
                inside = path[len(root.rstrip("/")):] if path.startswith(root) else ""
                groups[name] = Path(mountpoint + inside)
    return groups


def _mounts(proc: Path) -> dict[str, tuple[str, str]]:
    """Return (root inside the hierarchy, mountpoint) by controller."""
    found = {}
    for line in (proc / "mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, mountpoint = left.split()[3:5]
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            found[""] = (root, mountpoint)
        elif kind == "cgroup":
            found.update(dict.fromkeys(options.split(","), (root, mountpoint)))
    return found


def _words(file: Path) -> set[str]:
    try:
        return set(file.read_text().split())
    except OSError:
        return set()


def _write(group: Group, file: str, value: int) -> None:
    for folder in group.folders:
        if (folder / file).exists():
            (folder / file).write_text(str(value))


def _end_members(folder: Path) -> None:
    for pid in _words(folder / "cgroup.procs"):
        with contextlib.suppress(OSError):
            process = os.pidfd_open(int(pid))
            try:
                # Looked at again: the number could have gone to another process meanwhile.
                if pid in _words(folder / "cgroup.procs"):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
