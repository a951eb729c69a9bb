"""Runs: their states, and what crosses into and out of them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ringfence.errors import ConflictError


class RunState(StrEnum):
    """Where a run is. A run whose worker died stays where it was and goes on from there."""

    QUEUED = "queued"
    RUNNING = "running"
    EVALUATING = "evaluating"
    DONE = "done"
    FAILED = "failed"


TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.FAILED}),
    RunState.RUNNING: frozenset({RunState.EVALUATING, RunState.FAILED}),
    RunState.EVALUATING: frozenset({RunState.DONE, RunState.FAILED}),
    RunState.DONE: frozenset(),
    RunState.FAILED: frozenset(),
}


def require_transition(current: str, target: RunState) -> RunState:
    """Return `target`.

    Raises:
        ConflictError: `run.state`: a run can't go there from `current`.
    """
    if target not in TRANSITIONS[RunState(current)]:
        raise ConflictError("run.state", f"A run that is {current} can't become {target.value}.", field="state",
                            value=current, fix="Submit a new run.")
    return target


@dataclass(frozen=True)
class RunView:
    """One run. `result` holds `evaluation` per agent and, for a run on data, `behaviour_value`."""

    id: str
    name: str
    state: str
    share: float
    text: str
    spec: dict[str, Any]
    spec_digest: str
    dataset_version: str
    columns: list[str]
    simulator_digest: str
    seed: int
    steps: int | None
    steps_per_second: float | None
    result: dict[str, Any] | None
    model: str | None
    fence: dict[str, Any] | None
    error: dict[str, Any] | None
    submitted_by: str
    submitted_at: str
    job: str

    def as_json(self) -> dict[str, Any]:
        """Return the run as the API shows it."""
        return asdict(self)


@dataclass(frozen=True)
class Metric:
    """Numbers that a learner measured at `step`; `number` counts a run's metrics from 0."""

    number: int
    step: int
    values: dict[str, float]
