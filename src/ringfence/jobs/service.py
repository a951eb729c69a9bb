"""Watching a job: allowed and recorded once for each watcher, then polled."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from ringfence.errors import MissingError
from ringfence.jobs.domain import JobView
from ringfence.jobs.queue import JobQueue
from ringfence.storage.database import Database
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate

MAX_WAIT = 25.0
_POLL = 0.2
_PATIENCE = 3.0
_GRANT_SECONDS = 600.0
_GRANTS = 4096


class JobService:
    """The `job.show` verb. `wait` turns it into a long poll."""

    def __init__(self, gate: Gate, database: Database, queue: JobQueue) -> None:
        self._gate, self._database, self._queue = gate, database, queue
        self._grants: OrderedDict[tuple[str, Actor], float] = OrderedDict()
        self._lock = threading.Lock()

    def show(self, actor: Actor, identifier: str, wait: float = 0.0) -> JobView:
        """Return the job, at the latest `wait` seconds (at most MAX_WAIT) later, sooner when anything changes.

        Policy allows the submitter and the roles that may see every job (`context.submitted_by` is the account
        that submitted it). The trail holds one record for each watcher and ten minutes, not one for each poll.

        Raises:
            DeniedError: the actor may not see this job.
            MissingError: there is no such job in the actor's project.
            UnavailableError: it does not go on, as the disk is full.
        """
        job = self._look(identifier)
        if job.project != actor.project:
            raise MissingError("job.missing", f"There is no job {identifier}.", field="job", value=identifier)
        if not self._granted(actor, identifier):
            with self._gate.read(actor, Action.JOB_SHOW, Resource("job", identifier, job.project),
                                 {"submitted_by": job.submitted_by, "kind": job.kind}) as session:
                job = self._queue.get(session, identifier)
            self._grant(actor, identifier)
        return self._wait(job, min(max(wait, 0.0), MAX_WAIT))

    def _wait(self, job: JobView, seconds: float) -> JobView:
        began = time.monotonic()
        latest = job
        while latest == job and not job.finished and (left := began + seconds - time.monotonic()) > 0:
            if time.monotonic() - began > _PATIENCE:
                self._database.require_room()
            time.sleep(min(_POLL, left))
            latest = self._look(job.id)
        return latest

    def _look(self, identifier: str) -> JobView:
        with self._database.reading() as session:
            return self._queue.get(session, identifier)

    def _granted(self, actor: Actor, identifier: str) -> bool:
        with self._lock:
            return self._grants.get((identifier, actor), 0.0) > time.monotonic()

    def _grant(self, actor: Actor, identifier: str) -> None:
        with self._lock:
            self._grants[(identifier, actor)] = time.monotonic() + _GRANT_SECONDS
            self._grants.move_to_end((identifier, actor))
            while len(self._grants) > _GRANTS:
                self._grants.popitem(last=False)
