"""What a user wrote is checked by name and by value."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence_workload.learner.hyperparameters import require_known, require_number
from ringfence_workload.task import TaskError


def test_known_names_pass() -> None:
    require_known({"penalty": 1, "discount": 2}, ("penalty", "discount", "min_count"), "planner")


@pytest.mark.parametrize(("name", "fix"), [("learning_rat", "Did you mean learning_rate?"),
                                           ("qqq", "It takes batch_size, learning_rate.")])
def test_a_misspelt_name_is_refused_with_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(TaskError) as refused:
        require_known({"batch_size": 1, name: 2}, ("learning_rate", "batch_size"), "PPO")
    assert refused.value.code == "hyperparameter.unknown"
    assert (refused.value.fix, refused.value.field) == (fix, f"hyperparameters.{name}")


def test_a_number_within_its_bounds_is_taken_and_a_missing_one_is_the_default() -> None:
    assert require_number({"penalty": 2}, "penalty", 0.1, 0, 10) == 2.0
    assert require_number({}, "penalty", 0.1, 0, 10) == 0.1


@pytest.mark.parametrize("value", [-1, 11, "1", None, True, [1], float("nan"), float("inf")])
def test_any_other_value_is_refused(value: Any) -> None:
    with pytest.raises(TaskError) as refused:
        require_number({"penalty": value}, "penalty", 0.1, 0, 10)
    assert refused.value.code == "hyperparameter.invalid" and refused.value.field == "hyperparameters.penalty"
