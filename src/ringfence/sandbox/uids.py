"""One unprivileged user id per live workload, so that no two can read, signal or count against each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
from dataclasses import dataclass
from pathlib import Path

from ringfence.errors import UnavailableError


@dataclass
class Lease:
    """A user id (and group id of the same number) that is nobody else's until it is released."""

    uid: int
    _lock: int

    def release(self) -> None:
        """Give the id back; call it only once the workload's last process is gone."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class UidPool:
    """Hands out ids from [first, first + count), one lock file each: a keeper that dies gives its ids back."""

    def __init__(self, directory: Path, first: int = 200_000, count: int = 4096) -> None:
        self._directory, self._first, self._count = directory, first, count

    def take(self) -> Lease:
        """Lease an id that no lock and no live process holds.

        Raises:
            UnavailableError: every id of the range is in use.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        start, live = random.randrange(self._count), _live_uids()  # noqa: S311 (spreads, guards nothing)
        for offset in range(self._count):
            uid = self._first + (start + offset) % self._count
            lock = -1 if uid in live else self._lock(uid)
            if lock >= 0:
                return Lease(uid, lock)
        raise UnavailableError("sandbox.uids_exhausted", f"All {self._count} user ids for workloads are in use.",
                               fix="Wait for workloads to end, or widen the range in the settings.")

    def _lock(self, uid: int) -> int:
        descriptor = os.open(self._directory / f"{uid}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return -1
        return descriptor


def _live_uids() -> set[int]:
    """Another platform on this host may use the same range with locks of its own: what runs is what counts."""
    uids = set()
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    uids.add(entry.stat().st_uid)
    return uids
