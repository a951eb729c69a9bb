"""Agents as data: they act as described, and a description that can't be right is refused, never run."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from ringfence_workload import agent as agents
from ringfence_workload.learner.export import agent_files, tabular_agent
from ringfence_workload.task import TaskError

STATES = {"type": "Discrete", "n": 3, "start": 0}
ACTIONS = {"type": "Discrete", "n": 2, "start": 0}
POINT = {"type": "Box", "shape": [2], "dtype": "float32", "low": None, "high": None}
TORQUE = {"type": "Box", "shape": [1], "dtype": "float32", "low": -2.0, "high": 2.0}
POLICY = np.array([[1.0, 0.0], [0.25, 0.75], [0.6, 0.4]])


def loaded(files: dict[str, bytes]) -> agents.Agent:
    return agents.load(files["agent.json"], files["agent.safetensors"])


def outcome(files: dict[str, bytes]) -> tuple[agents.Agent | None, str]:
    """Return the agent, or the code of the refusal; anything else that goes wrong is raised."""
    try:
        return loaded(files), ""
    except TaskError as refused:
        return None, refused.code


def network(observation: dict[str, Any], action: dict[str, Any],
            **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    width = observation.get("n") or int(np.prod(observation["shape"]))
    outputs = action.get("n") or int(np.prod(action["shape"]))
    random = np.random.default_rng(0)
    tensors = {"l0.weight": random.normal(size=(4, width)), "l0.bias": random.normal(size=4),
               "l1.weight": random.normal(size=(outputs, 4)), "l1.bias": random.normal(size=outputs)}
    body = {"kind": "mlp", "mode": "deterministic", "observation_space": observation, "action_space": action,
            "layers": [{"weight": f"l{n}.weight", "bias": f"l{n}.bias", "activation": kind}
                       for n, kind in enumerate(("tanh", "identity"))],
            "observation_encoding": "one_hot" if "n" in observation else "flatten",
            "head": "categorical" if "n" in action else "gaussian"}
    return {**body, **changes}, {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def forward(tensors: dict[str, Any], inputs: Any) -> Any:
    hidden = np.tanh(inputs @ tensors["l0.weight"].T + tensors["l0.bias"])
    return hidden @ tensors["l1.weight"].T + tensors["l1.bias"]


def test_a_deterministic_table_takes_the_likeliest_action() -> None:
    agent = loaded(tabular_agent(POLICY, "deterministic", STATES, ACTIONS))
    assert agent.act(np.array([0, 1, 2, 1]), np.random.default_rng(0)).tolist() == [0, 1, 0, 1]


def test_a_stochastic_table_draws_by_its_chances() -> None:
    agent = loaded(tabular_agent(POLICY, "stochastic", STATES, ACTIONS))
    states = np.repeat([0, 1, 2], 20_000)
    ones = agent.act(states, np.random.default_rng(4)).reshape(3, -1).mean(axis=1)
    assert ones[0] == 0
    assert ones == pytest.approx(POLICY[:, 1], abs=0.015)


def test_spaces_that_do_not_start_at_zero_are_shifted() -> None:
    agent = loaded(tabular_agent(POLICY, "deterministic", {**STATES, "start": 5}, {**ACTIONS, "start": -1}))
    assert agent.act(np.array([5, 6]), np.random.default_rng(0)).tolist() == [-1, 0]


def test_a_network_over_states_looks_its_first_layer_up() -> None:
    body, tensors = network(STATES, ACTIONS)
    agent = loaded(agent_files(body, tensors))
    expected = forward(tensors, np.eye(3)).argmax(axis=1)
    assert agent.act(np.arange(3), np.random.default_rng(0)).tolist() == expected.tolist()


def test_a_network_over_numbers_computes_its_layers() -> None:
    body, tensors = network(POINT, ACTIONS)
    agent = loaded(agent_files(body, tensors))
    seen = np.random.default_rng(1).normal(size=(500, 2)).astype(np.float32)
    assert np.array_equal(agent.act(seen, np.random.default_rng(0)), forward(tensors, seen).argmax(axis=1))


def test_a_stochastic_network_draws_by_softmax() -> None:
    body, tensors = network(STATES, ACTIONS, mode="stochastic")
    agent = loaded(agent_files(body, tensors))
    weights = np.exp(forward(tensors, np.eye(3)))
    ones = agent.act(np.repeat([0, 1, 2], 20_000), np.random.default_rng(4)).reshape(3, -1).mean(axis=1)
    assert ones == pytest.approx(weights[:, 1] / weights.sum(axis=1), abs=0.015)


def test_a_gaussian_head_stays_within_the_bounds() -> None:
    body, tensors = network(POINT, TORQUE)
    seen = np.random.default_rng(1).normal(size=(500, 2)).astype(np.float32) * 5
    quiet = loaded(agent_files(body, tensors)).act(seen, np.random.default_rng(0))
    assert quiet == pytest.approx(forward(tensors, seen).clip(-2, 2), abs=1e-5)
    noisy = loaded(agent_files({**body, "mode": "stochastic"}, {**tensors, "log_std": np.full(1, -3.0, np.float32)}))
    drawn = noisy.act(seen, np.random.default_rng(0))
    assert drawn.shape == (500, 1) and np.abs(drawn).max() <= 2
    assert 0 < np.abs(drawn - quiet).max() < 0.4


@pytest.mark.parametrize("change", [
    {"format": "other"}, {"kind": "forest"}, {"mode": "sometimes"}, {"head": "gaussian"}, {"layers": []},
    {"observation_encoding": "flatten"}, {"observation_space": {"type": "Discrete", "n": 4, "start": 0}},
    {"action_space": {"type": "Discrete", "n": 3, "start": 0}}, {"observation_space": {"type": "Text"}},
    {"layers": [{"weight": "l0.weight", "bias": "l0.bias", "activation": "os.system"}]},
    {"layers": [{"weight": "gone", "bias": "l0.bias", "activation": "tanh"}]},
    {"layers": [{"weight": "l1.weight", "bias": "l1.bias", "activation": "tanh"}]}, {"layers": None}])
def test_a_description_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    body, tensors = network(STATES, ACTIONS)
    files = agent_files({**body, **change}, tensors)
    with pytest.raises(TaskError) as refused:
        loaded(files)
    assert refused.value.code == "agent.malformed"


@pytest.mark.parametrize("policy", [
    [[1, 1], [0, 1], [1, 0]], [[1.5, -0.5], [0, 1], [1, 0]], [[np.nan, 1], [0, 1], [1, 0]], [[0, 0], [0, 1], [1, 0]],
    [[1, 0], [0, 1]], [[1], [1], [1]]])
def test_a_table_that_is_no_set_of_chances_is_refused(policy: list[list[float]]) -> None:
    with pytest.raises(TaskError, match="can't be used"):
        loaded(tabular_agent(np.array(policy, float), "stochastic", STATES, ACTIONS))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_refused(value: float) -> None:
    body, tensors = network(STATES, ACTIONS)
    tensors["l1.bias"][0] = value
    with pytest.raises(TaskError, match="not finite"):
        loaded(agent_files(body, tensors))


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans(),
       which=st.sampled_from(["agent.json", "agent.safetensors"]))
def test_a_changed_byte_gives_an_agent_or_a_plain_refusal(place: int, byte: int, cut: bool, which: str) -> None:
    files = tabular_agent(POLICY, "stochastic", STATES, ACTIONS)
    data = bytearray(files[which])
    place %= len(data)
    data[place] = byte
    files[which] = bytes(data[:place] if cut else data)
    agent, code = outcome(files)
    assert code in ("", "agent.malformed")
    if agent:
        assert agent.act(np.array([agent.observation_space.start]), np.random.default_rng(0)).shape == (1,)


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["kind", "mode", "observation_space", "action_space", "layers", "type", "n"]),
                        inner, max_size=4), max_leaves=8))
def test_any_json_is_an_agent_or_a_plain_refusal(body: Any) -> None:
    if isinstance(body, dict):
        body = {"format": agents.FORMAT, **body}
    with pytest.raises(TaskError) as refused:
        agents.load(json.dumps(body).encode(), save({"policy": POLICY.astype(np.float32)}))
    assert refused.value.code == "agent.malformed"


def test_the_same_agent_is_the_same_bytes() -> None:
    assert tabular_agent(POLICY, "stochastic", STATES, ACTIONS) == tabular_agent(POLICY, "stochastic", STATES, ACTIONS)
