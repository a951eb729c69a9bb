"""What this host enforces, for `ringfence doctor`."""

from __future__ import annotations

from ringfence.sandbox.cgroups import Cgroups
from ringfence.sandbox.sandbox import Guarantee

DELEGATE = "Run the platform as a systemd unit with Delegate=yes, or as root where the cgroup file system is writable."


def of_host(cgroups: Cgroups, *, distinct_uids: bool) -> tuple[Guarantee, ...]:
    """List the guarantees; those of namespaces and seccomp were shown by the trial fence."""
    return (
        Guarantee("namespaces", True, "user, network, pid, ipc, uts and mount namespaces of its own; nested ones off"),
        Guarantee("network", True, "no interface but a loopback of its own; no socket family but unix"),
        Guarantee("system_calls", True, "an allow-list; everything else is refused"),
        Guarantee("file_system", True, "read-only but for a private /tmp of limited size"),
        _uids(distinct_uids), _memory(cgroups), _processes(cgroups, distinct_uids),
    )


def _uids(distinct: bool) -> Guarantee:
    if distinct:
        return Guarantee("distinct_user", True, "each workload is an unprivileged user of its own")
    return Guarantee("distinct_user", False, "workloads run as the platform's own user: only namespaces keep it out of "
                     "that user's files", "Start the platform as root: each workload then becomes a user of its own.")


def _memory(cgroups: Cgroups) -> Guarantee:
    if "memory" in cgroups.enforced:
        return Guarantee("memory", True, "limited for the whole fence by a cgroup")
    return Guarantee("memory", False, f"limited for each process, not for the whole fence: {cgroups.why_not}", DELEGATE)


def _processes(cgroups: Cgroups, distinct: bool) -> Guarantee:
    if "pids" in cgroups.enforced:
        return Guarantee("processes", True, "limited for the whole fence by a cgroup")
    if distinct:
        return Guarantee("processes", True, "limited for the fence's own user by RLIMIT_NPROC")
    return Guarantee("processes", True, "limited by RLIMIT_NPROC, which the workload sets on its user namespace "
                     f"before a user's code runs: {cgroups.why_not}", DELEGATE)
