"""Learning in a simulator with Stable-Baselines3, both fenced; what comes back acts as the library's own model."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest

from ringfence.errors import WorkloadError
from ringfence_workload import agent as agents
from tests.bundles import MANIFEST, packed
from tests.fences import CHECKOUT, ENVIRONMENTS
from tests.unit.learner.conftest import Fence, Ran

# The right action is the state's number modulo 3; spaces that don't start at zero on purpose.
RIGHT = """
import gymnasium
class Right(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(6, start=10)
    action_space = gymnasium.spaces.Discrete(3, start=-1)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.steps = 10 + int(self.np_random.integers(6)), 0
        return self.state, {}
    def step(self, action):
        reward = float(int(action) + 1 == (self.state - 10) % 3)
        self.state, self.steps = 10 + int(self.np_random.integers(6)), self.steps + 1
        return self.state, reward, False, self.steps == 8, {}
def make():
    return Right()
"""
PENDULUM = """
import gymnasium
def make():
    return gymnasium.make("Pendulum-v1")
"""


def bundled(code: str) -> bytes:
    return packed({"simulator.yaml": MANIFEST.format(name="tested", entry_point="project:make", vector="false"),
                   "project.py": code})


def learn(fence: Fence, code: str, algorithm: str, steps: int, **hyperparameters: Any) -> Ran:
    return fence.with_simulator(bundled(code), "learn.sb3", {
        "algorithm": algorithm, "hyperparameters": hyperparameters, "total_steps": steps, "seed": 5},
        environment="sb3", num_envs=4)


PPO = {"n_steps": 64, "batch_size": 64, "learning_rate": 0.03, "gamma": 0.0,
       "policy_kwargs": {"net_arch": [16], "activation_fn": "relu"}}


@pytest.fixture(scope="module")
def trained(fence: Fence) -> Ran:
    return learn(fence, RIGHT, "PPO", 3000, **PPO)


def test_ppo_learns_what_there_is_to_learn(trained: Ran) -> None:
    agent = agents.load(trained.files["agent.json"], trained.files["agent.safetensors"])
    assert agent.act(np.arange(10, 16), np.random.default_rng(0)).tolist() == [-1, 0, 1, -1, 0, 1]


def test_it_says_how_it_went(trained: Ran) -> None:
    assert trained.values["steps"] == 3072
    assert trained.values["steps_per_second"] == pytest.approx(3072 / trained.values["seconds"])
    first, last = trained.metrics[0], trained.metrics[-1]
    assert (first["step"], last["step"]) == (256, 3072)
    assert {"return_mean", "episode_length", "steps_per_second", "value_loss", "approx_kl"} <= last["values"].keys()
    assert first["values"]["return_mean"] < 5 < last["values"]["return_mean"] <= 8
    assert last["values"]["episode_length"] == 8


def test_the_same_seed_gives_the_same_agent(fence: Fence, trained: Ran) -> None:
    assert learn(fence, RIGHT, "PPO", 3000, **PPO).files == trained.files


def test_dqn_and_a2c_come_through_the_same_door(fence: Fence) -> None:
    short = {"learning_starts": 64, "buffer_size": 1000, "policy_kwargs": {"net_arch": [8]}}
    for algorithm, given in (("DQN", short), ("A2C", {})):
        ran = learn(fence, RIGHT, algorithm, 400, **given)
        agent = agents.load(ran.files["agent.json"], ran.files["agent.safetensors"])
        assert agent.act(np.array([10]), np.random.default_rng(0)).shape == (1,)
        assert {event["values"].get("episode_length", 8) for event in ran.metrics} == {8}


def test_numbers_in_and_numbers_out(fence: Fence) -> None:
    ran = learn(fence, PENDULUM, "PPO", 256, n_steps=64, batch_size=64)
    agent = agents.load(ran.files["agent.json"], ran.files["agent.safetensors"])
    torque = agent.act(np.array([[1.0, 0.0, 0.5]], np.float32), np.random.default_rng(0))
    assert torque.shape == (1, 1) and abs(torque[0, 0]) <= 2


WRONG = [
    ("PPO", {"learning_rat": 0.1}, "hyperparameter.unknown", "Did you mean learning_rate?"),
    ("PPO", {"device": "cuda"}, "hyperparameter.unknown", "It takes"),
    ("DQN", {"n_steps_": 5}, "hyperparameter.unknown", "Did you mean n_steps?"),
    ("PPO", {"rollout_buffer_class": "os.system"}, "hyperparameter.unknown", ""),
    ("PPO", {"policy_kwargs": {"optimizer_class": "x"}}, "hyperparameter.unknown", "activation_fn"),
    ("PPO", {"policy_kwargs": {"activation_fn": "sine"}}, "hyperparameter.invalid", "tanh"),
    ("SACK", {}, "learner.unknown_algorithm", "PPO")]
# One process for all of them: the import of torch takes seconds.
CHECK = """
import json, sys
from ringfence_workload.learner.sb3 import checked_settings
from ringfence_workload.task import TaskError
for algorithm, given in json.load(sys.stdin):
    try:
        checked_settings({"algorithm": algorithm, "hyperparameters": given})
        print(json.dumps(["", ""]))
    except TaskError as error:
        print(json.dumps([error.code, error.fix]))
"""


def test_each_wrong_specification_is_refused_by_name() -> None:
    asked = [(algorithm, given) for algorithm, given, _, _ in WRONG] + [("PPO", PPO)]
    told = subprocess.run([ENVIRONMENTS / "sb3/bin/python", "-c", CHECK], input=json.dumps(asked), text=True,
                          capture_output=True, check=True, env={"PYTHONPATH": str(CHECKOUT / "src")}).stdout
    *refused, accepted = [json.loads(line) for line in told.splitlines()]
    for (_, _, code, words), (got, fix) in zip(WRONG, refused, strict=True):
        assert got == code and words in fix
    assert accepted == ["", ""]


@pytest.mark.parametrize(("given", "code"), [({"learning_rat": 0.1}, "hyperparameter.unknown"),
                                             ({"n_steps": "many"}, "hyperparameter.invalid")])
def test_a_wrong_specification_ends_the_run_before_the_first_step(fence: Fence, given: dict[str, Any],
                                                                  code: str) -> None:
    with pytest.raises(WorkloadError) as refused:
        learn(fence, RIGHT, "PPO", 100, **given)
    assert refused.value.code == code and refused.value.fix


EXPORT = """
import sys
import gymnasium, numpy as np, stable_baselines3
from gymnasium import spaces
from ringfence_workload.learner.sb3_export import export
from ringfence_workload.task import TaskError
from ringfence_workload.wire.spaces import bounded, discrete
class Seen(gymnasium.Env):
    observation_space, action_space = spaces.Box(-1, 1, (3,)), spaces.Discrete(4)
model = stable_baselines3.PPO("MlpPolicy", Seen(), seed=1, device="cpu")
seen = bounded("Box", (3,), "float32", -1.0, 1.0)
print(sorted(export(model, seen, discrete(4), 0)))
predict = model.predict
def otherwise(observations, deterministic):
    actions, state = predict(observations, deterministic=deterministic)
    actions[7] = (actions[7] + 1) % 4
    return actions, state
model.predict = otherwise
try:
    export(model, seen, discrete(4), 0)
except TaskError as error:
    print(error.code)
"""


def test_an_export_that_would_act_otherwise_is_not_handed_over() -> None:
    told = subprocess.run([ENVIRONMENTS / "sb3/bin/python", "-c", EXPORT], text=True, capture_output=True, check=True,
                          env={"PYTHONPATH": str(CHECKOUT / "src")}).stdout.splitlines()
    assert told == ["['agent.json', 'agent.safetensors']", "learner.export_differs"]


def test_an_algorithm_that_can_not_act_here_is_refused(fence: Fence) -> None:
    with pytest.raises(WorkloadError) as refused:
        learn(fence, PENDULUM, "DQN", 100)
    assert refused.value.code == "hyperparameter.invalid" and "action space" in refused.value.message


def test_a_simulator_that_fails_is_named_as_the_reason(fence: Fence) -> None:
    failing = RIGHT.replace("self.steps == 8, {}", "1 // (self.steps < 100) < 1, {}")
    with pytest.raises(WorkloadError) as refused:
        learn(fence, failing, "PPO", 3000, **PPO)
    assert refused.value.code == "simulator.failed" and "ZeroDivisionError" in refused.value.message
