"""A run's row while it executes: each phase's outcome is written once, with the transition that it means."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ringfence.errors import MissingError
from ringfence.storage.database import Database
from ringfence.training.domain import RunState, require_transition
from ringfence.training.reports import numbers
from ringfence.training.tables import MetricRow, RunRow

MAX_METRICS = 10_000
FLUSH_SECONDS = 0.5


def runs_using(session: Session, project: str, digest: str) -> list[str]:
    """Return the runs of a project that have not ended and name the simulator of `digest`, oldest first."""
    waiting = select(RunRow).where(RunRow.project == project, RunRow.state.not_in([RunState.DONE, RunState.FAILED]))
    return [row.id for row in session.scalars(waiting.order_by(RunRow.id))
            if any(used["digest"] == digest for used in json.loads(row.simulators).values())]


class RunStore:
    """Reads and moves runs on."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def load(self, identifier: str) -> RunRow:
        """Return a run's row as it stands.

        Raises:
            MissingError: there is none of that id.
        """
        with self.database.reading() as session:
            row = session.get(RunRow, identifier)
        if row is None:
            raise MissingError("run.missing", f"There is no run {identifier}.", field="run", value=identifier)
        return row

    def move(self, session: Session, identifier: str, target: RunState, **outcome: Any) -> None:
        """Store the outcome of a phase and take the step that it allows, in the caller's transaction."""
        row = session.get_one(RunRow, identifier)
        row.state = require_transition(row.state, target).value
        for column, value in outcome.items():
            setattr(row, column, value if isinstance(value, str) else json.dumps(value, allow_nan=False))

    def fail(self, identifier: str, error: Mapping[str, Any]) -> None:
        """Record why a run failed; one that has ended already keeps its end."""
        with self.database.transaction() as session:
            row = session.get_one(RunRow, identifier)
            if row.state not in (RunState.DONE, RunState.FAILED):
                self.move(session, identifier, RunState.FAILED, error=dict(error))


class MetricSink:
    """Stores a run's metrics in small batches: at most MAX_METRICS of them, finite numbers only."""

    def __init__(self, database: Database, run: str) -> None:
        self._database, self._run = database, run
        self._pending: list[MetricRow] = []
        self._count, self._flushed = 0, time.monotonic()
        with database.transaction() as session:  # an earlier try of this phase does not count
            session.execute(delete(MetricRow).where(MetricRow.run == run))

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one checked `metric` event."""
        values, step = numbers(event["values"]), event["step"]
        if self._count < MAX_METRICS and values and 0 <= step < math.ldexp(1, 53):
            self._pending.append(MetricRow(run=self._run, number=self._count, step=step, numbers=json.dumps(values)))
            self._count += 1
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        rows, self._pending, self._flushed = self._pending, [], time.monotonic()
        if rows:
            with self._database.transaction() as session:
                session.add_all(rows)
