"""What workloads say of themselves is believed only as far as it can be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import dictionaries, floats, integers, none, text

from ringfence.errors import ConflictError, WorkloadError
from ringfence.training import reports
from ringfence.training.domain import TRANSITIONS, RunState, require_transition

SCORE = {"mean": 0.5, "ci_low": 0.4, "ci_high": 0.6, "episodes": 100}
LEARNED = {"steps": 1000, "seconds": 2.0, "steps_per_second": 1e9, "behaviour_value": SCORE,
           "estimate": {"value": 1.0, "note": "text", "bad": float("nan"), "<script>": 1.0}, "junk": [1]}


def test_speed_is_computed_here_and_extras_keep_only_numbers() -> None:
    learned = reports.learned(LEARNED, wall_seconds=5.0, least_steps=1000)
    assert learned.steps_per_second == 500
    assert learned.extra == {"estimate": {"value": 1.0}}
    assert learned.behaviour_value == SCORE


@pytest.mark.parametrize(("changes", "field"), [
    ({"steps": 999}, "steps"), ({"steps": "1000"}, "steps"), ({"steps": True}, "steps"), ({"steps": None}, "steps"),
    ({"seconds": 60.0}, "seconds"), ({"seconds": 0.0}, "seconds"), ({"seconds": float("nan")}, "seconds"),
    ({"seconds": None}, "seconds"), ({"behaviour_value": {**SCORE, "mean": 9.0}}, "behaviour_value"),
    ({"behaviour_value": 0.7}, "behaviour_value")])
def test_a_learner_that_misreports_is_caught(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        reports.learned({**LEARNED, **changes}, wall_seconds=5.0, least_steps=1000)
    assert (caught.value.code, caught.value.field) == ("workload.misreported", field)


@pytest.mark.parametrize("agents", [
    None, {}, {"agent": SCORE}, {"agent": SCORE, "random": SCORE, "extra": SCORE},
    {"agent": {**SCORE, "episodes": 99}, "random": SCORE}, {"agent": {**SCORE, "ci_low": 0.51}, "random": SCORE},
    {"agent": {**SCORE, "ci_high": float("inf")}, "random": SCORE},
    {"agent": {**SCORE, "mean": "0.5"}, "random": SCORE},
    {"agent": {**SCORE, "episodes": 0}, "random": SCORE}])
def test_an_evaluator_that_misreports_is_caught(agents: Any) -> None:
    with pytest.raises(WorkloadError):
        reports.scores({"agents": agents}, ["agent", "random"], 100)


def test_scores_are_taken_for_exactly_whom_was_asked() -> None:
    assert reports.scores({"agents": {"agent": SCORE, "random": SCORE}}, ["agent", "random"], 100) == {
        "agent": SCORE, "random": SCORE}


@given(dictionaries(text(max_size=80), integers() | floats() | none() | text(max_size=3)))
def test_numbers_are_finite_and_safely_named(values: dict[str, Any]) -> None:
    kept = reports.numbers(values)
    assert len(kept) <= reports.MAX_NAMES
    for name, value in kept.items():
        assert name.isprintable()
        assert abs(value) < 1e300


def test_every_move_between_states_is_either_legal_or_refused() -> None:
    for current in RunState:
        for target in RunState:
            if target in TRANSITIONS[current]:
                assert require_transition(current, target) == target
            else:
                with pytest.raises(ConflictError):
                    require_transition(current, target)
    assert not TRANSITIONS[RunState.DONE] | TRANSITIONS[RunState.FAILED]
