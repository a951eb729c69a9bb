"""Slows down guessing: failures cost waiting per account *and* address, so that a stranger locks out only himself."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ringfence.errors import ThrottledError

FREE, LONGEST, FORGET = 5, 300.0, 3600.0
_ADDRESS_FREE = 50
_REMEMBERED = 10_000


@dataclass
class _Failures:
    count: int = 0
    last: float = 0.0


class Throttle:
    """After 5 failures of one address on one account each further one doubles the wait, up to 5 minutes; after 50 on
    any accounts the address waits too. An hour of quiet, or a success, is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def check(self, account: str, address: str) -> None:
        """Let an attempt through, or not yet.

        Raises:
            ThrottledError: the message says how many seconds to wait.
        """
        with self._lock:
            wait = max(self._wait((account, address), FREE), self._wait(("", address), _ADDRESS_FREE))
        if wait > 0:
            raise ThrottledError("session.throttled", f"Too many failed logins: wait {wait:.0f} seconds.",
                                 fix="Wait, then log in with the right password.", value=f"{wait:.0f}")

    def failed(self, account: str, address: str) -> None:
        """Note a failure."""
        with self._lock:
            for key in ((account, address), ("", address)):
                entry = self._failures.setdefault(key, _Failures())
                entry.count, entry.last = self._count(entry) + 1, self._clock()
                self._failures.move_to_end(key)
            while len(self._failures) > _REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this address on this account."""
        with self._lock:
            self._failures.pop((account, address), None)

    def _wait(self, key: tuple[str, str], free: int) -> float:
        entry = self._failures.get(key)
        over = self._count(entry) - free if entry else -1
        return entry.last + min(2.0 ** min(over, 20), LONGEST) - self._clock() if entry and over >= 0 else 0.0

    def _count(self, entry: _Failures) -> int:
        return entry.count if self._clock() - entry.last < FORGET else 0
