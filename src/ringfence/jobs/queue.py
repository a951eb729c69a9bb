"""The durable queue: submit once per key, claim under a lease, finish only while the lease is one's own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.errors import ConflictError, MissingError
from ringfence.jobs.domain import JobState, JobView
from ringfence.jobs.tables import JobRow
from ringfence.storage.database import Database
from ringfence.storage.ids import new_id

MAX_ATTEMPTS = 5
_ABANDONED = {"type": "urn:ringfence:error:job.abandoned", "status": 422, "code": "job.abandoned", "field": "",
              "value": "", "title": f"The job's worker died {MAX_ATTEMPTS} times while doing it.",
              "fix": "Look into the worker's log, then submit it again."}


class LeaseLostError(ConflictError):
    """The job is another worker's by now: this one must not write its outcome."""

    def __init__(self, job: str) -> None:
        super().__init__("job.lease_lost", f"{job} is no longer leased to this worker.",
                         fix="Nothing to do: the worker that holds it finishes it.")


class JobQueue:
    """Jobs in the platform's database. Safe for many threads and processes; `clock` gives epoch seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    def submit(self, session: Session, kind: str, payload: Mapping[str, Any], *, submitted_by: str, project: str,
               key: str) -> JobView:
        """Queue a job in the caller's transaction; the job of the same key that has not failed is returned instead.

        `payload` holds JSON values, names and digests, never data of a subject.
        """
        same = select(JobRow).where(JobRow.project == project, JobRow.key == key, JobRow.state != JobState.FAILED)
        row = session.scalars(same).first()
        if row is None:
            row = JobRow(id=new_id("job"), kind=kind, state=JobState.QUEUED.value, project=project, key=key,
                         payload=json.dumps(dict(payload), allow_nan=False), submitted_by=submitted_by,
                         submitted_at=self._clock(), share=0.0, text="waiting for a worker", attempts=0)
            session.add(row)
            session.flush()
        return _view(row)

    def get(self, session: Session, identifier: str) -> JobView:
        """Return one job.

        Raises:
            MissingError: there is none of that id.
        """
        return _view(_row(session, identifier))

    def claim(self, worker: str, lease_seconds: float) -> JobView | None:
        """Lease the job that has waited longest to `worker`; None when there is none."""
        with self._database.transaction() as session:
            self._recover(session, JobRow.lease_until < self._clock())
            waiting = select(JobRow).where(JobRow.state == JobState.QUEUED).order_by(JobRow.submitted_at, JobRow.id)
            row = session.scalars(waiting.limit(1)).first()
            if row is None:
                return None
            row.state, row.worker, row.attempts = JobState.RUNNING.value, worker, row.attempts + 1
            row.lease_until = self._clock() + lease_seconds
            return _view(row)

    def waiting(self) -> bool:
        """Say, without taking the write lock, whether `claim` may find something."""
        ready = (JobRow.state == JobState.QUEUED) | (JobRow.lease_until < self._clock())
        with self._database.reading() as session:
            return session.scalars(select(JobRow.id).where(ready).limit(1)).first() is not None

    def heartbeat(self, identifier: str, worker: str, lease_seconds: float, share: float, text: str) -> None:
        """Extend the lease and store the progress.

        Raises:
            LeaseLostError: the job is no longer `worker`'s.
        """
        with self._database.transaction() as session:
            row = self._held(session, identifier, worker)
            row.lease_until = self._clock() + lease_seconds
            row.share, row.text = min(max(share, 0.0), 1.0), text[:400]

    def finish(self, identifier: str, worker: str, result: Mapping[str, Any]) -> None:
        """Record that the job is done.

        Raises:
            LeaseLostError: the job is no longer `worker`'s.
        """
        with self._database.transaction() as session:
            row = self._held(session, identifier, worker)
            row.result, row.share = json.dumps(dict(result), allow_nan=False), 1.0
            self._end(row, JobState.DONE, "done")

    def fail(self, identifier: str, worker: str, error: Mapping[str, Any]) -> None:
        """Record that the job failed, `error` being a problem document.

        Raises:
            LeaseLostError: the job is no longer `worker`'s.
        """
        with self._database.transaction() as session:
            row = self._held(session, identifier, worker)
            row.error = json.dumps(dict(error))
            self._end(row, JobState.FAILED, str(error.get("title", "failed")))

    def release(self, identifier: str, worker: str) -> None:
        """Hand a job back unfinished: the worker stops. It does not count as an attempt.

        Raises:
            LeaseLostError: the job is no longer `worker`'s.
        """
        with self._database.transaction() as session:
            row = self._held(session, identifier, worker)
            row.state, row.worker, row.lease_until = JobState.QUEUED.value, None, None
            row.attempts, row.text = row.attempts - 1, "waiting for a worker"

    def recover(self, worker_prefix: str) -> int:
        """Queue again what workers whose id starts with `worker_prefix` held; return how many jobs.

        Only for a caller that knows them dead; leases that run out are recovered by `claim` itself.
        """
        with self._database.transaction() as session:
            return self._recover(session, JobRow.worker.startswith(worker_prefix, autoescape=True))

    def _recover(self, session: Session, condition: Any) -> int:
        rows = list(session.scalars(select(JobRow).where(JobRow.state == JobState.RUNNING, condition)))
        for row in rows:
            if row.attempts >= MAX_ATTEMPTS:
                row.error = json.dumps(_ABANDONED)
                self._end(row, JobState.FAILED, str(_ABANDONED["title"]))
            else:
                row.state, row.worker, row.lease_until = JobState.QUEUED.value, None, None
                row.text = "its worker died: waiting for another"
        session.flush()
        return len(rows)

    def _held(self, session: Session, identifier: str, worker: str) -> JobRow:
        row = _row(session, identifier)
        if row.state != JobState.RUNNING or row.worker != worker:
            raise LeaseLostError(identifier)
        return row

    def _end(self, row: JobRow, state: JobState, text: str) -> None:
        row.state, row.text = state.value, text[:400]
        row.worker, row.lease_until, row.finished_at = None, None, self._clock()


def _row(session: Session, identifier: str) -> JobRow:
    row = session.get(JobRow, identifier)
    if row is None:
        raise MissingError("job.missing", f"There is no job {identifier}.", fix="Look for it with the command that "
                           "submitted it; it prints the job's id.", field="job", value=identifier)
    return row


def _view(row: JobRow) -> JobView:
    return JobView(id=row.id, kind=row.kind, state=JobState(row.state), share=row.share, text=row.text,
                   result=json.loads(row.result) if row.result else None,
                   error=json.loads(row.error) if row.error else None, submitted_by=row.submitted_by,
                   project=row.project, payload=json.loads(row.payload), attempts=row.attempts)
