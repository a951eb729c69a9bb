"""Learning from logged steps alone, in a fence, from a sealed Arrow file."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest

from ringfence.errors import WorkloadError
from ringfence_workload import agent as agents
from tests.fences import ENVIRONMENTS
from tests.unit.learner.conftest import Fence

# The base environment has polars, the tests' own has not.
WRITE = """
import json, sys
import polars as pl
pl.DataFrame(json.load(sys.stdin), strict=False).write_ipc(sys.stdout.buffer)
"""
COLUMNS = {"episode": "stay", "state": "state", "action": "dose", "next_state": "then", "reward": "gain"}


def arrow(columns: dict[str, list[Any]]) -> bytes:
    return subprocess.run([ENVIRONMENTS / "base/bin/python", "-c", WRITE], input=json.dumps(columns).encode(),
                          capture_output=True, check=True).stdout


def two_arms(episodes: int = 400) -> dict[str, list[Any]]:
    """One choice a stay: dose 1 cures 3 of 4, dose 0 cures 1 of 4. Doses alternate; tokens name the stays."""
    numbers = range(episodes)
    cured = [(number // 2 % 4 < 3) if number % 2 else (number // 2 % 4 < 1) for number in numbers]
    return {"stay": [f"t{number * 7919 % 1000:03d}" for number in numbers], "state": [0] * episodes,
            "dose": [number % 2 for number in numbers], "then": [2 if well else 1 for well in cured],
            "gain": [float(well) for well in cured]}


def test_it_finds_the_better_dose_and_says_what_the_log_was_worth(fence: Fence) -> None:
    ran = fence.run("learn.offline", {"columns": COLUMNS, "hyperparameters": {"penalty": 0.1}, "seed": 1},
                    {"data": arrow(two_arms())})
    agent = agents.load(ran.files["agent.json"], ran.files["agent.safetensors"])
    assert agent.act(np.array([0]), np.random.default_rng(0)).tolist() == [1]
    assert agent.observation_space.n == 3 and agent.action_space.n == 2
    worth = ran.values["behaviour_value"]
    assert worth["mean"] == pytest.approx(0.5) and worth["episodes"] == 400
    assert worth["ci_low"] == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=1e-3)
    assert ran.values["estimate"]["model_value"] == pytest.approx(0.75)
    assert ran.values["estimate"]["pessimistic_value"] == pytest.approx(0.75 - 0.1 / np.sqrt(200))
    assert ran.values["steps"] == 400 and ran.values["steps_per_second"] > 0
    assert ran.metrics[0]["values"].keys() == {"pessimistic_value"}


def test_the_simulators_spaces_widen_the_table(fence: Fence) -> None:
    spaces = {"observation_space": {"type": "Discrete", "n": 10, "start": 0},
              "action_space": {"type": "Discrete", "n": 4, "start": 0}}
    ran = fence.run("learn.offline", {"columns": COLUMNS, "seed": 1, **spaces}, {"data": arrow(two_arms())})
    agent = agents.load(ran.files["agent.json"], ran.files["agent.safetensors"])
    assert (agent.observation_space.n, agent.action_space.n) == (10, 4)
    assert set(agent.act(np.arange(10), np.random.default_rng(0)).tolist()) <= {0, 1}


@pytest.mark.parametrize(("change", "code", "field"), [
    ({"state": [0.5] * 400}, "learner.not_discrete", "data.columns.state"),
    ({"then": [-1] * 400}, "learner.not_discrete", "data.columns.next_state"),
    ({"dose": [None] * 400}, "learner.not_discrete", "data.columns.action"),
    ({"gain": ["much"] * 400}, "learner.not_numeric", "data.columns.reward"),
    ({"gain": [float("nan")] * 400}, "learner.not_numeric", "data.columns.reward"),
    ({"stay": ["one"] * 400}, "learner.too_few_episodes", "data.columns.episode"),
    ({"state": [2**40] * 400}, "learner.too_many_states", "data.columns.state")])
def test_data_that_can_not_be_learned_from_is_refused(fence: Fence, change: dict[str, list[Any]], code: str,
                                                      field: str) -> None:
    with pytest.raises(WorkloadError) as refused:
        fence.run("learn.offline", {"columns": COLUMNS, "seed": 1}, {"data": arrow({**two_arms(), **change})})
    assert (refused.value.code, refused.value.field) == (code, field) and refused.value.fix


@pytest.mark.parametrize(("given", "code", "field"), [
    ({"hyperparameters": {"penality": 1}}, "hyperparameter.unknown", "hyperparameters.penality"),
    ({"hyperparameters": {"discount": 2}}, "hyperparameter.invalid", "hyperparameters.discount"),
    ({"columns": {**COLUMNS, "reward": "pay"}}, "learner.column_missing", "data.columns.reward"),
    ({"observation_space": {"type": "Discrete", "n": 2, "start": 0}}, "learner.space_mismatch", "data.columns.state")])
def test_a_wrong_specification_is_refused(fence: Fence, given: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(WorkloadError) as refused:
        fence.run("learn.offline", {"columns": COLUMNS, "seed": 1, **given}, {"data": arrow(two_arms(8))})
    assert (refused.value.code, refused.value.field) == (code, field) and refused.value.fix
