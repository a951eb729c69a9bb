"""Bounds a wait that the other side of a fence could otherwise prolong for ever."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

PERIOD = 0.05
EXIT_STATUS = 4


class WaitEndedError(Exception):
    """The wait was ended: its deadline passed, or the keeper said that no answer will come."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the wait was ended after {seconds:.1f} s")
        self.seconds = seconds


class Watchdog:
    """`with watchdog: BLOCKING CALL` raises WaitEndedError after `deadline` seconds, or soon after `ended()` says so.

    A thread looks at the time; it interrupts the waiting thread by SIGUSR2, whose handler raises. Signals reach
    handlers in the main thread only: elsewhere the process ends instead, which its keeper notices.
    """

    def __init__(self, deadline: float, ended: Callable[[], bool]) -> None:
        self._deadline, self._ended = deadline, ended
        self._since = 0.0
        self._stopped = threading.Event()
        self._waiter = threading.get_ident()
        self._interruptible = threading.current_thread() is threading.main_thread()
        if self._interruptible:
            signal.signal(signal.SIGUSR2, self._interrupt)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *exc: object) -> None:
        self._since = 0.0

    def stop(self) -> None:
        """End the watching thread."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(PERIOD):
            since = self._since
            if since and (time.monotonic() - since > self._deadline or self._ended()):
                self._end_wait()

    def _end_wait(self) -> None:
        if not self._interruptible:
            os._exit(EXIT_STATUS)
        signal.pthread_kill(self._waiter, signal.SIGUSR2)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._since:
            seconds, self._since = time.monotonic() - self._since, 0.0
            raise WaitEndedError(seconds)
