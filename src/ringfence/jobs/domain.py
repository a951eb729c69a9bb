"""A job and what its state may become. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ringfence.trust.domain import Actor


class JobState(StrEnum):
    """`running` goes back to `queued` when its worker dies or stops; `done` and `failed` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING}),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.DONE, JobState.FAILED}),
    JobState.DONE: frozenset(),
    JobState.FAILED: frozenset(),
}
FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)


@dataclass(frozen=True)
class JobView:
    """One job as its submitter sees it. `share` in [0, 1]; `error` is a problem document."""

    id: str
    kind: str
    state: JobState
    share: float
    text: str
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    submitted_by: str
    project: str
    payload: Mapping[str, Any]
    attempts: int

    @property
    def finished(self) -> bool:
        """Say whether the job's state is final."""
        return self.state in FINAL

    def as_json(self) -> dict[str, Any]:
        """Return what the API shows: everything but the payload, which is the handler's business."""
        return {"id": self.id, "kind": self.kind, "state": self.state.value, "share": self.share, "text": self.text,
                "result": self.result, "error": self.error, "submitted_by": self.submitted_by}


@dataclass(frozen=True)
class JobContext:
    """What a handler is given beside its job.

    `actor` is the worker's own service account; `on_behalf_of` the account that submitted the job, read again when
    the job starts (it is still enabled, with the roles that it has now).
    """

    actor: Actor
    on_behalf_of: Actor
    progress: Callable[[float, str], None]
    should_stop: Callable[[], bool]

    def policy_context(self, **facts: Any) -> dict[str, Any]:
        """Return the facts for the gate, naming the account on whose behalf the worker acts."""
        return {**facts, "on_behalf_of": self.on_behalf_of.as_input()}


Handler = Callable[[JobView, JobContext], dict[str, Any]]
"""Does one job. It may be started again after a crash, so each of its steps is idempotent."""
