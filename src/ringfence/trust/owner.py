"""Which process an act belongs to, in words that no later process can share: boot, process id and start time."""

from __future__ import annotations

import os
from pathlib import Path


def this_process() -> str:
    """Return the owner's mark of the running process."""
    return _mark(os.getpid()) or f"unknown:{os.getpid()}"


def alive(mark: str) -> bool:
    """Say whether the marked process still runs on this machine."""
    process = mark.split(":")[1] if mark.count(":") == 2 else ""
    return process.isdigit() and _mark(int(process)) == mark


def _mark(process: int) -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    state, *fields = status.rpartition(")")[2].split()  # the command's name before it may hold anything
    return "" if state in "ZX" else f"{boot}:{process}:{fields[18]}"
