"""The worker's loop: claim, do, keep the lease alive, record the outcome."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from ringfence.errors import RingfenceError
from ringfence.jobs.domain import Handler, JobContext, JobView
from ringfence.jobs.queue import JobQueue, LeaseLostError
from ringfence.trust.domain import Actor
from ringfence.trust.request import RequestInfo, request
from ringfence.worker import lock

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
BEAT_SECONDS = 0.5


class Identities(Protocol):
    """Where the worker learns who it is and for whom it acts."""

    def service_actor(self, name: str) -> Actor:
        """Return the platform's own service account `name`."""

    def actor_by_id(self, identifier: str) -> Actor:
        """Return an account as it stands now; DeniedError when it is disabled."""


class Worker:
    """Does queued jobs, one at a time. One worker of a name lives in each home (`lock_file`)."""

    def __init__(self, queue: JobQueue, handlers: Mapping[str, Handler], identities: Identities, lock_file: Path,
                 *, name: str = "worker", lease_seconds: float = LEASE_SECONDS, poll_seconds: float = 0.25) -> None:
        self._queue, self._handlers, self._identities = queue, dict(handlers), identities
        self._lock_file, self._lease, self._poll = lock_file, lease_seconds, poll_seconds
        self._name, self._id = name, f"{name}#{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._trouble = ""  # logged once, not at every look

    def stop(self) -> None:
        """Ask the loop to end: the job in hand is stopped and goes back into the queue. Safe in a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Do jobs until `stop` is called.

        Raises:
            ConflictError: a live worker holds the lock.
        """
        with lock.exclusive(self._lock_file):
            recovered = self._queue.recover(f"{self._name}#")
            if recovered:
                log.warning("%d jobs of a dead worker are queued again", recovered)
            while not self._stop.is_set():
                if not self._step():
                    self._stop.wait(self._poll)

    def run_one(self) -> bool:
        """Do the job that waits longest; return whether there was one."""
        return self._step()

    def _step(self) -> bool:
        try:
            job = self._queue.claim(self._id, self._lease) if self._queue.waiting() else None
        except RingfenceError as error:
            if error.line() != self._trouble:
                log.error("the queue can't be read: %s", error.line())
            self._trouble = error.line()
            return False
        self._trouble = ""
        if job is not None:
            self._do(job)
        return job is not None

    def _do(self, job: JobView) -> None:
        log.info("%s %s starts, attempt %d", job.kind, job.id, job.attempts)
        pulse = Pulse(self._queue, job, self._id, self._lease, self._stop)
        try:
            with pulse, request(RequestInfo(job.id, "worker")):
                result = self._handle(job, pulse)
        except LeaseLostError:
            log.warning("%s was taken over by another worker", job.id)
            return
        except Exception as error:
            self._record_failure(job, pulse, error)
            return
        self._record(job, lambda: self._queue.finish(job.id, self._id, result))

    def _handle(self, job: JobView, pulse: Pulse) -> dict[str, object]:
        handler = self._handlers.get(job.kind)
        if handler is None:
            raise RingfenceError("job.unknown_kind", f"This worker can't do {job.kind}.",
                                 fix="Start a worker of the same version as the server.")
        context = JobContext(self._identities.service_actor("worker"), self._identities.actor_by_id(job.submitted_by),
                             pulse.progress, pulse.should_stop)
        return handler(job, context)

    def _record_failure(self, job: JobView, pulse: Pulse, error: Exception) -> None:
        if pulse.lost:
            log.warning("%s was taken over by another worker", job.id)
        elif self._stop.is_set():
            log.info("%s goes back into the queue: the worker stops", job.id)
            self._record(job, lambda: self._queue.release(job.id, self._id))
        else:
            problem = _problem(job, error)
            self._record(job, lambda: self._queue.fail(job.id, self._id, problem))

    def _record(self, job: JobView, write: Callable[[], None]) -> None:
        try:
            write()
        except RingfenceError as error:
            # The lease runs out and the job is done again: its steps are idempotent.
            log.error("the outcome of %s can't be written: %s", job.id, error.line())


class Pulse:
    """Keeps one job's lease alive and its progress stored, from a thread of its own."""

    def __init__(self, queue: JobQueue, job: JobView, worker: str, lease: float, stopping: threading.Event) -> None:
        self._queue, self._job, self._worker, self._lease = queue, job, worker, lease
        self._stopping, self._ended = stopping, threading.Event()
        self._state: tuple[float, str] = (0.0, "started")
        self.lost = False
        self._thread = threading.Thread(target=self._beat, name=f"pulse-{job.id}", daemon=True)

    def progress(self, share: float, text: str) -> None:
        """Note the progress; it is stored with the next beat."""
        self._state = (share, text)

    def should_stop(self) -> bool:
        """Say whether the handler must give up: the worker stops, or the job is another's by now."""
        return self.lost or self._stopping.is_set()

    def _beat(self) -> None:
        stored: tuple[float, str] | None = None
        idle = 0.0
        while not self._ended.wait(BEAT_SECONDS):
            idle += BEAT_SECONDS
            if self._state == stored and idle < self._lease / 4:
                continue
            stored, idle = self._state, 0.0
            try:
                self._queue.heartbeat(self._job.id, self._worker, self._lease, *stored)
            except LeaseLostError:
                self.lost = True
                return
            except RingfenceError as error:
                log.error("the lease of %s can't be extended: %s", self._job.id, error.line())

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()


def _problem(job: JobView, error: Exception) -> dict[str, object]:
    if isinstance(error, RingfenceError):
        log.warning("%s %s failed: %s", job.kind, job.id, error.line())
        return error.as_problem()
    log.exception("%s %s crashed", job.kind, job.id, exc_info=error)
    return RingfenceError("job.crashed", f"The worker met an unexpected {type(error).__name__}.",
                          fix="The worker's log has the details; submitting the job again is safe.").as_problem()
