"""What goes on beside the requests, in the server process: checkpoints by the clock, and delivery to the sinks."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringfence.errors import RingfenceError, TamperedError
from ringfence.storage.database import Database
from ringfence.trust import private_files
from ringfence.trust.audit.sink import NOTHING, Sink, SinkStatus, entries_after, last_checkpoint, last_record
from ringfence.trust.audit.sink_file import forked
from ringfence.trust.audit.trail import EVERY_SECONDS, AuditTrail

_LOOK = 5.0  # seconds between two looks for records without a checkpoint
_LONGEST_PAUSE = 30.0
log = logging.getLogger(__name__)


class Periodic:
    """A thread that does one thing again and again; the thing returns the seconds until the next time."""

    def __init__(self, name: str, tick: Callable[[], float]) -> None:
        self._tick, self._stopping = tick, threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Say whether it shall end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin at once."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """End after the tick under way; say whether it did in time (or never ran)."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = self._tick()
            except Exception:  # it must outlive whatever it meets
                log.exception("%s failed", self._thread.name)
                pause = _LONGEST_PAUSE


class CheckpointTimer:
    """Sees to it that no record waits longer than `EVERY_SECONDS` for a checkpoint, and signs one at the end."""

    def __init__(self, database: Database, trail: AuditTrail, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._trail, self._clock = database, trail, clock
        self._waiting: tuple[int, float] | None = None  # the last checkpoint then, and since when a record waits
        self._periodic = Periodic("audit-checkpoints", self.look)

    def start(self) -> None:
        """Begin in a thread."""
        self._periodic.start()

    def stop(self) -> None:
        """End, and vouch for what is there."""
        self._periodic.stop(_LOOK)
        try:
            self._sign_if_waiting()
        except RingfenceError as error:
            log.warning("The last records have no checkpoint: %s", error.line())

    def look(self) -> float:
        """Sign a checkpoint if a record has waited long enough; return the seconds until the next look."""
        with self._database.reading() as session:
            vouched, last = last_checkpoint(session), last_record(session)
        if last <= vouched:
            self._waiting = None
        elif self._waiting is None or self._waiting[0] != vouched:
            self._waiting = vouched, self._clock()
        elif self._clock() - self._waiting[1] >= EVERY_SECONDS - 2 * _LOOK:
            self._sign_if_waiting()
            self._waiting = None
        return _LOOK

    def _sign_if_waiting(self) -> None:
        with self._database.transaction() as session:
            if last_record(session) > last_checkpoint(session):
                self._trail.checkpoint(session)


class Deliverer:
    """Hands what was committed to one sink. A sink that is down costs nothing but its own lag.

    `lock`: a file that the one process which delivers holds locked; another takes over when it dies.
    """

    def __init__(self, database: Database, public_key: Callable[[], bytes], sink: Sink, lock: Path, *,
                 pause: float = 1.0) -> None:
        self._database, self._public_key, self._sink, self._lock, self._pause = database, public_key, sink, lock, pause
        self._locked, self._place, self._problem, self._failures = -1, NOTHING, "", 0
        self._periodic = Periodic(f"audit-sink-{sink.name}", self._tick)

    def start(self) -> None:
        """Begin in a thread."""
        self._periodic.start()

    def stop(self, seconds: float = 5.0) -> None:
        """End; what is left is delivered first, if no other process does that and it can be done in time."""
        if not self._periodic.stop(seconds):
            return  # a sink that hangs: the thread dies with the process, and the next one goes on
        self._tick()
        self._sink.close()
        if self._locked >= 0:
            os.close(self._locked)
            self._locked = -1

    def status(self) -> SinkStatus:
        """Return how the sink does."""
        with self._database.reading() as session:
            last = last_record(session)
        delivered = max(self._place, 0) // 2
        return SinkStatus(self._sink.name, delivered, max(last - delivered, 0), self._problem, self._sink.incidents())

    def deliver(self) -> None:
        """Deliver all that there is.

        Raises:
            UnavailableError, TamperedError: see `Sink.deliver`.
        """
        while True:
            self._place = self._sink.held()
            with self._database.reading() as session:
                last = last_record(session)
                entries = entries_after(session, self._public_key(), self._place)
            if self._place // 2 > last:
                raise forked(f"it holds record {self._place // 2}, but the last one in the database is {last}")
            self._sink.deliver(entries)
            if not entries:
                return

    def _tick(self) -> float:
        try:
            if not self._owns():
                self._problem = "Another process delivers to it."
                return self._pause
            self.deliver()
        except Exception as error:  # whatever a sink does, it must be tried again
            return self._failed(error)
        if self._problem:
            log.info("The audit sink %s has caught up to record %d", self._sink.name, self._place // 2)
        self._problem, self._failures = "", 0
        return self._pause

    def _failed(self, error: Exception) -> float:
        problem = error.line() if isinstance(error, RingfenceError) else f"{type(error).__name__}: {error}"
        if problem != self._problem:
            level = logging.ERROR if isinstance(error, TamperedError) else logging.WARNING
            log.log(level, "The audit sink %s: %s", self._sink.name, problem)
        self._problem, self._failures = problem, min(self._failures + 1, 10)
        return min(self._pause * float(2 ** (self._failures - 1)), _LONGEST_PAUSE)

    def _owns(self) -> bool:
        if self._locked < 0:
            private_files.make_folder(self._lock.parent)
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._locked = descriptor
        return True


@dataclass(frozen=True)
class AuditUpkeep:
    """All of it: started by the server once the home is prepared, stopped before the database is closed."""

    checkpoints: CheckpointTimer
    deliverers: Sequence[Deliverer]

    def start(self) -> None:
        """Begin."""
        self.checkpoints.start()
        for deliverer in self.deliverers:
            deliverer.start()

    def stop(self) -> None:
        """Vouch for the last records, deliver them, and end."""
        self.checkpoints.stop()
        for deliverer in self.deliverers:
            deliverer.stop()

    def status(self) -> list[SinkStatus]:
        """Return how each sink does."""
        return [deliverer.status() for deliverer in self.deliverers]
