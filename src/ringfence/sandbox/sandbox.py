"""The port every fence implements, and the values that cross it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ringfence_workload.wire.messages import Connection


@dataclass(frozen=True)
class Limits:
    """What one workload may use at most. Memory and tmpfs in bytes, times in seconds."""

    memory: int = 2 << 30
    processes: int = 64
    open_files: int = 256
    temporary: int = 256 << 20
    cpu_seconds: int = 3600
    wall_seconds: float = 3600.0
    log_bytes: int = 1 << 20


@dataclass(frozen=True)
class FenceSpec:
    """One workload to start.

    `name` stands in logs and in the cgroup's name; `environment` names the interpreter and packages that are
    mounted read-only (`base`, `sb3`); `cpus` pins from outside (empty: no pin).
    """

    name: str
    environment: str = "base"
    limits: Limits = field(default_factory=Limits)
    cpus: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Exit:
    """How a workload ended: `reason` in plain words, and what it used."""

    status: int | None
    signal: int | None
    reason: str
    wall_seconds: float
    cpu_seconds: float
    log: str


@dataclass(frozen=True)
class Guarantee:
    """One thing a fence enforces here, or does not: what that costs and how to get it."""

    name: str
    enforced: bool
    detail: str
    fix: str = ""


class Workload(Protocol):
    """A started workload. Leaving its `with` block ends it, whatever state it is in."""

    connection: Connection
    pid: int
    uid: int

    def wait(self, timeout: float | None = None) -> Exit:
        """Wait for the end; idempotent. Raises TimeoutError."""

    def kill(self, reason: str) -> Exit:
        """End it now; idempotent. `reason` stands in the returned Exit."""

    def __enter__(self) -> Workload: ...

    def __exit__(self, *exc: object) -> None: ...


class Sandbox(Protocol):
    """Starts fenced workloads."""

    def guarantees(self) -> tuple[Guarantee, ...]:
        """Say what this host enforces. Cheap after the first call.

        Raises:
            UnavailableError: no fence can be had here at all; the fix says what to install.
        """

    def start(self, spec: FenceSpec) -> Workload:
        """Start one workload and return once it can take its job.

        Raises:
            UnavailableError: no fence, or the environment is not installed.
        """


@dataclass(frozen=True)
class TaskResult:
    """What a finished task handed back: JSON values, and descriptors of sealed memory (owned by the caller)."""

    values: dict[str, Any]
    outputs: dict[str, int]
    exit: Exit


OnEvent = Callable[[dict[str, Any]], None]
Inputs = Mapping[str, int]
