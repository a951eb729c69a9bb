"""Evaluation: as many episodes as asked for, chosen without favour, the same again for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ringfence.errors import WorkloadError
from ringfence_workload.learner.export import tabular_agent
from tests.bundles import MANIFEST, packed
from tests.unit.learner.conftest import Fence

# A coin is tossed at the start: heads, the episode ends at once with nothing; tails, after 50 steps with 1.
# Whoever takes the episodes that end first sees hardly any tails. Action 1 adds .25 at the end.
COIN = """
import gymnasium
class Coin(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 50 if self.np_random.random() < 0.5 else 1
        self.tails = self.left == 50
        return int(self.tails), {}
    def step(self, action):
        self.left -= 1
        done = self.left == 0
        return int(self.tails), (float(self.tails) + 0.25 * int(action)) * done, done, False, {}
def make():
    return Coin()
"""
STATES = ACTIONS = {"type": "Discrete", "n": 2, "start": 0}
ALWAYS_1 = np.array([[0.0, 1.0], [0.0, 1.0]])
BASELINE = {f"baselines/lazy/{name}": data for name, data in tabular_agent(
    np.array([[1.0, 0.0], [1.0, 0.0]]), "deterministic", STATES, ACTIONS).items()}
BUNDLE = packed({"simulator.yaml": MANIFEST.format(name="coin", entry_point="coin:make", vector="false")
                 + "baselines: {lazy: baselines/lazy, empty: baselines/empty}\n", "coin.py": COIN, **BASELINE})


def evaluate(fence: Fence, agents: list[str], episodes: int, files: dict[str, bytes] | None = None,
             num_envs: int = 16) -> dict[str, Any]:
    sources = {"agent": "package", "random": "random"}
    ran = fence.with_simulator(BUNDLE, "evaluate", {
        "episodes": episodes, "seed": 3,
        "agents": [{"name": name, "source": sources.get(name, "baseline")} for name in agents]},
        {"bundle": BUNDLE, **(files or {})}, num_envs=num_envs)
    measured: dict[str, Any] = ran.values["agents"]
    return measured


def test_long_episodes_count_as_much_as_short_ones(fence: Fence) -> None:
    files = tabular_agent(ALWAYS_1, "deterministic", STATES, ACTIONS)
    measured = evaluate(fence, ["agent", "random", "lazy"], 1003, files)
    for name, truth in (("agent", 0.75), ("random", 0.625), ("lazy", 0.5)):
        assert measured[name]["episodes"] == 1003
        standard_error = (measured[name]["ci_high"] - measured[name]["ci_low"]) / 2 / 1.96
        assert abs(measured[name]["mean"] - truth) < 4.5 * standard_error
        assert standard_error == pytest.approx(0.5 / np.sqrt(1003), rel=0.1)


def test_the_same_seed_gives_the_same_figures(fence: Fence) -> None:
    assert evaluate(fence, ["random"], 60) == evaluate(fence, ["random"], 60)


def test_fewer_episodes_than_environments_will_do(fence: Fence) -> None:
    assert evaluate(fence, ["random"], 5)["random"]["episodes"] == 5


@pytest.mark.parametrize(("agents", "episodes", "code"), [
    (["nobody"], 10, "evaluation.no_such_baseline"), (["empty"], 10, "agent.missing"),
    (["random"], 1, "evaluation.too_few_episodes")])
def test_what_can_not_be_evaluated_is_refused(fence: Fence, agents: list[str], episodes: int, code: str) -> None:
    with pytest.raises(WorkloadError) as refused:
        evaluate(fence, agents, episodes)
    assert refused.value.code == code and refused.value.fix


def test_an_agent_for_other_spaces_is_refused(fence: Fence) -> None:
    files = tabular_agent(np.ones((3, 1)), "deterministic", {**STATES, "n": 3}, {**ACTIONS, "n": 1})
    with pytest.raises(WorkloadError) as refused:
        evaluate(fence, ["agent"], 10, files)
    assert refused.value.code == "evaluation.agent_does_not_fit"
