"""What may go into an agent, and what is taken from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, floats, integers, lists, none, recursive, text

from ringfence.errors import InvalidError, TooLargeError, WorkloadError
from ringfence.serving.domain import MAX_ROWS, Guard, require_name

STATE = {"type": "Discrete", "n": 5, "start": 0}
BOX = {"type": "Box", "shape": [2], "dtype": "float32", "low": [-1, 0], "high": [1, None]}
BYTES = {"type": "Box", "shape": [], "dtype": "uint8", "low": 0, "high": 255}
LEAVES = none() | booleans() | integers() | floats() | text(max_size=3)
VALUES = recursive(LEAVES, lambda inner: lists(inner, max_size=4), max_leaves=10)


@pytest.mark.parametrize(("space", "observations"), [
    (STATE, [0, 4]), (BOX, [[0.5, 1e30]]), (BOX, [[1, 0], [-1, 2]]), (BYTES, [255])])
def test_members_of_the_space_pass(space: dict[str, Any], observations: list[Any]) -> None:
    assert Guard(space, STATE).require_observations(observations) == observations


@pytest.mark.parametrize(("space", "observations", "field"), [
    (STATE, [], "observations"), (STATE, "0", "observations"), (STATE, {"0": 0}, "observations"),
    (STATE, [0, 5], "observations[1]"), (STATE, [-1], "observations[0]"), (STATE, [1, 2, 3.0], "observations[2]"),
    (STATE, [1, True], "observations[1]"), (STATE, [1, None], "observations[1]"), (STATE, [1, "2"], "observations[1]"),
    (STATE, [[1]], "observations[0]"), (STATE, [2**70], "observations[0]"), (STATE, [float("nan")], "observations[0]"),
    (BOX, [[0, 0], [0]], "observations[1]"), (BOX, [[2, 0]], "observations[0]"), (BOX, [[0, -1]], "observations[0]"),
    (BOX, [[0, float("inf")]], "observations[0]"), (BOX, [[float("nan"), 0]], "observations[0]"),
    (BYTES, [256], "observations[0]"), (BYTES, [-1], "observations[0]")])
def test_what_is_outside_is_named_without_its_value(space: dict[str, Any], observations: Any, field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Guard(space, STATE).require_observations(observations)
    assert caught.value.field == field
    assert caught.value.value == ""
    assert caught.value.fix


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(TooLargeError):
        Guard(STATE, STATE).require_observations([0] * (MAX_ROWS + 1))


@given(VALUES)
def test_nothing_but_members_passes(value: Any) -> None:
    guard = Guard(STATE, BOX)
    try:
        passed = guard.require_observations(value)
    except InvalidError:
        return
    assert all(type(one) is int and 0 <= one < 5 for one in passed)


@given(VALUES, integers(0, 3))
def test_nothing_but_actions_is_taken(value: Any, rows: int) -> None:
    try:
        actions = Guard(STATE, STATE).require_actions(value, rows)
    except WorkloadError:
        return
    assert len(actions) == rows
    assert all(type(one) is int and 0 <= one < 5 for one in actions)


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "a.b", "a" * 64, "a b"])
def test_names(name: str) -> None:
    with pytest.raises(InvalidError):
        require_name(name)
    assert require_name("sepsis-advisor-2") == "sepsis-advisor-2"
