"""The fence of one machine: bubblewrap, namespaces, seccomp, cgroups and an unprivileged user id per workload."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from pathlib import Path

from ringfence.errors import UnavailableError
from ringfence.sandbox import bwrap, endings, environments, guarantees, seccomp
from ringfence.sandbox.cgroups import Cgroups, Group
from ringfence.sandbox.launching import Launched, LauncherProcess, Plan
from ringfence.sandbox.sandbox import Exit, FenceSpec, Guarantee, Limits
from ringfence.sandbox.uids import Lease, UidPool
from ringfence_workload.wire import memory
from ringfence_workload.wire.messages import Connection

MAX_LOG = 2 << 20
# bubblewrap's own two processes count against the limits of the fence they make.
OWN_PROCESSES = 2
TRIAL_LIMITS = Limits(memory=256 << 20, wall_seconds=20.0)


class FencedWorkload:
    """A workload inside its fence."""

    def __init__(self, launcher: LauncherProcess, launched: Launched, connection: Connection, *, limits: Limits,
                 group: Group, lease: Lease | None) -> None:
        self.connection, self.pid, self.uid = connection, launched.pid, lease.uid if lease else os.geteuid()
        self._launcher, self._launched, self._limits = launcher, launched, limits
        self._group, self._lease = group, lease
        self._lock = threading.Lock()
        self._exit: Exit | None = None

    def wait(self, timeout: float | None = None) -> Exit:
        """Wait for the end; idempotent. Raises TimeoutError."""
        if not self._launched.ended.wait(timeout):
            raise TimeoutError("the workload has not ended")
        with self._lock:
            if self._exit is None:
                self._exit = endings.describe(self._launched.report, self._group.usage(), self._limits)
                self._group.remove()
                if self._lease:
                    self._lease.release()
            return self._exit

    def kill(self, reason: str) -> Exit:
        """End it now; idempotent. `reason` stands in the returned Exit."""
        self._launcher.kill(self._launched, reason)
        return self.wait()

    def __enter__(self) -> FencedWorkload:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill("its keeper was done with it")
        self.connection.close()


class BubblewrapSandbox:
    """Implements `Sandbox`. Started as root, each workload becomes an unprivileged user of its own.

    `environments` holds one virtual environment per name; `state` holds the locks of user ids in use.
    Safe for use by many threads. `close` ends every workload; so does the end of this process, however it comes.
    """

    def __init__(self, environments: Path, state: Path, *, first_uid: int = 200_000, uids: int = 4096) -> None:
        self._environments = environments
        self._uids = UidPool(state / "uids", first_uid, uids) if os.geteuid() == 0 else None
        self._lock = threading.Lock()
        self._launcher: LauncherProcess | None = None
        self._bwrap: Path | None = None
        self._cgroups: Cgroups | None = None

    def guarantees(self) -> tuple[Guarantee, ...]:
        """Say what this host enforces. Raises UnavailableError where no fence can be had."""
        self._ready()
        assert self._cgroups is not None
        return guarantees.of_host(self._cgroups, distinct_uids=self._uids is not None)

    def start(self, spec: FenceSpec) -> FencedWorkload:
        """Start one workload and return once it can take its job.

        Raises:
            UnavailableError: no fence, or the environment is not installed.
        """
        environment = environments.find(self._environments, spec.environment)
        launcher, program = self._ready()
        places = bwrap.Places(launcher.view)
        width = str(len(spec.cpus) or min(os.cpu_count() or 1, 16))
        argv = bwrap.command(program, places, environment, {
            "POLARS_MAX_THREADS": width, "RINGFENCE_PROCESSES": self._processes_inside(spec.limits)},
            temporary=spec.limits.temporary)
        return self._launch(launcher, argv, places, spec)

    def close(self) -> None:
        """End every workload and the launcher."""
        with self._lock:
            if self._launcher:
                self._launcher.close()
            self._launcher = None

    def _ready(self) -> tuple[LauncherProcess, Path]:
        """Return a living launcher and a bubblewrap that has shown that it works here."""
        with self._lock:
            self._cgroups = self._cgroups or Cgroups()
            if not (self._launcher and self._launcher.alive and self._launcher.owner == os.getpid()):
                self._launcher = LauncherProcess()
            self._bwrap = self._bwrap or self._choose(self._launcher)
            return self._launcher, self._bwrap

    def _choose(self, launcher: LauncherProcess) -> Path:
        failures = []
        for program in bwrap.candidates():
            places = bwrap.Places(launcher.view)
            try:
                argv = bwrap.trial(program, places)
            except OSError as error:
                failures.append(f"{program}: {error.strerror}")
                continue
            with self._launch(launcher, argv, places, FenceSpec("trial", limits=TRIAL_LIMITS)) as trial:
                outcome = trial.wait()
            if outcome.status == 0:
                return program
            failures.append(f"{program}: {outcome.log.strip() or outcome.reason}")
        raise endings.no_fence(failures, launcher.why_no_view)

    def _launch(self, launcher: LauncherProcess, argv: list[str], places: bwrap.Places,
                spec: FenceSpec) -> FencedWorkload:
        lease = self._uids.take() if self._uids else None
        assert self._cgroups is not None
        group = Group(())
        try:
            group = self._cgroups.create(spec.limits.memory, spec.limits.processes + OWN_PROCESSES)
            plan = Plan(argv, lease.uid if lease else None, group.procs, sorted(spec.cpus),
                        self._rlimits(spec.limits), places.binds, min(spec.limits.log_bytes, MAX_LOG),
                        spec.limits.wall_seconds)
            launched, connection = _handed_over(launcher, plan)
        except BaseException as error:
            group.remove()
            if lease:
                lease.release()
            if isinstance(error, OSError):
                raise UnavailableError("sandbox.no_limits", f"A workload's limits can't be set: {error}.",
                                       fix="Run `ringfence doctor`.") from error
            raise
        return FencedWorkload(launcher, launched, connection, limits=spec.limits, group=group, lease=lease)

    def _rlimits(self, limits: Limits) -> dict[str, int]:
        assert self._cgroups is not None
        values = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": limits.open_files, "RLIMIT_CPU": limits.cpu_seconds,
                  "RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0, "RLIMIT_NICE": 0, "RLIMIT_RTPRIO": 0,
                  "RLIMIT_SIGPENDING": 256}
        if self._uids:
            # The cgroup's limit, where there is one, is met first: it is the one that says so afterwards.
            spare = 8 if "pids" in self._cgroups.enforced else 0
            values["RLIMIT_NPROC"] = limits.processes + OWN_PROCESSES + spare
        if "memory" not in self._cgroups.enforced:
            values["RLIMIT_DATA"] = limits.memory
        return {name: _at_most_hard(name, value) for name, value in values.items()}

    def _processes_inside(self, limits: Limits) -> str:
        """The limit the workload sets on itself before anything else runs, where no other way holds."""
        assert self._cgroups is not None
        return "" if self._uids or "pids" in self._cgroups.enforced else str(limits.processes)


def _at_most_hard(name: str, value: int) -> int:
    _, hard = resource.getrlimit(getattr(resource, name))
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _handed_over(launcher: LauncherProcess, plan: Plan) -> tuple[Launched, Connection]:
    ours, theirs = socket.socketpair()
    try:
        with theirs, contextlib.ExitStack() as cleanup:
            files = [memory.sealed(data) for data in (seccomp.program(), bwrap.PASSWD_TEXT)]
            for file in files:
                cleanup.callback(os.close, file)
            return launcher.launch(plan, [theirs.fileno(), *files]), Connection(ours)
    except BaseException:
        ours.close()
        raise
