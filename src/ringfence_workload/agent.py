"""Trained agents as data: a description in JSON and tensors in safetensors, run with numpy alone.

The description (`agent.json`, format `ringfence-agent/1`):
  kind "tabular"   tensor `policy` (S, A) float32: the chance of each action in each state
  kind "mlp"       `layers`, each a weight (out, in), a bias (out,) and an activation; the last feeds the head
  mode             "deterministic": the likeliest action; "stochastic": one drawn from the chances
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ringfence_workload.task import TaskError
from ringfence_workload.wire import memory, spaces

FORMAT = "ringfence-agent/1"
DESCRIPTION, TENSORS = "agent.json", "agent.safetensors"
MAX_BYTES = 256 << 20
Array = NDArray[Any]
Floats = NDArray[np.float32]

ACTIVATIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "tanh": np.tanh,
    "relu": lambda values: np.maximum(values, 0),
    "identity": lambda values: values,
}


class Agent(Protocol):
    """What answers observations with actions."""

    @property
    def observation_space(self) -> spaces.SpaceSpec:
        """What it can be shown."""

    @property
    def action_space(self) -> spaces.SpaceSpec:
        """What it can do."""

    def act(self, observations: Array, random: np.random.Generator) -> Array:
        """Return N actions for N observations, (N, *shape) each; only a stochastic agent uses `random`."""


@dataclass(frozen=True)
class TabularAgent:
    """Looks its action up. `cumulative`: (S, A) float64, each row rising to 1; `best`: (S,) int64."""

    observation_space: spaces.SpaceSpec
    action_space: spaces.SpaceSpec
    cumulative: NDArray[np.float64]
    best: NDArray[np.int64]
    stochastic: bool

    def act(self, observations: Array, random: np.random.Generator) -> Array:
        """Return (N,) int64 actions for (N,) states."""
        states = observations - self.observation_space.start
        chosen = _draw(self.cumulative[states], random) if self.stochastic else self.best[states]
        return chosen + self.action_space.start


@dataclass(frozen=True)
class MlpAgent:
    """A network of dense layers. `layers`: (weight (in, out), bias (out,), activation) in order, float32.

    Over a Discrete observation space the first weight's rows are looked up: what a one-hot code would pick.
    `log_spread`, of a stochastic Gaussian head alone: (outputs,), the logarithm of its standard deviation.
    """

    observation_space: spaces.SpaceSpec
    action_space: spaces.SpaceSpec
    layers: tuple[tuple[Floats, Floats, str], ...]
    stochastic: bool
    log_spread: Floats | None = None

    def act(self, observations: Array, random: np.random.Generator) -> Array:
        """Return (N,) int64 actions (categorical head), or (N, *shape) within the bounds (Gaussian head)."""
        scores: Array = self.scores(observations)
        if self.action_space.kind == "Discrete":
            chosen = _draw(_cumulative_softmax(scores), random) if self.stochastic else scores.argmax(axis=1)
            return chosen + self.action_space.start
        if self.log_spread is not None:
            scores = scores + np.exp(self.log_spread) * random.standard_normal(scores.shape, dtype=np.float32)
        actions = scores.reshape(len(scores), *self.action_space.shape)
        low, high = self.action_space.limits()
        return np.clip(actions, low, high)

    def scores(self, observations: Array) -> Floats:
        """Return (N, outputs) float32: the last layer's output."""
        weight, bias, activation = self.layers[0]
        if self.observation_space.kind == "Discrete":
            values = weight[observations - self.observation_space.start]
        else:
            values = observations.reshape(len(observations), -1).astype(np.float32) @ weight
        values = ACTIVATIONS[activation](values + bias)
        for weight, bias, activation in self.layers[1:]:
            values = ACTIVATIONS[activation](values @ weight + bias)
        return values


def load_inputs(inputs: Mapping[str, int]) -> Agent:
    """Return the agent whose two files a task was given, as sealed memory. Raises TaskError: `agent.malformed`."""
    return load(*(memory.read_all(inputs[file], MAX_BYTES) for file in (DESCRIPTION, TENSORS)))


def load_folder(folder: Path) -> Agent:
    """Return the agent whose two files lie in `folder`.

    Raises:
        TaskError: `agent.malformed`; `agent.missing`.
    """
    try:
        files = [(folder / file).read_bytes() for file in (DESCRIPTION, TENSORS)]
    except OSError as error:
        raise TaskError("agent.missing", f"{folder.name} lacks its {DESCRIPTION} or {TENSORS}.", value=folder.name,
                        fix="Put both files there.") from error
    return load(*files)


def load(description: bytes, tensors: bytes) -> Agent:
    """Return the agent that `agent.json` and `agent.safetensors` describe.

    Raises:
        TaskError: `agent.malformed`, naming what is wrong; nothing of it is ever executed.
    """
    from safetensors.numpy import load as load_tensors

    try:
        body = json.loads(description)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise _malformed("format", f"it is not of the format {FORMAT}")
        return from_parts(body, load_tensors(tensors))
    except TaskError:
        raise
    except Exception as error:  # of many kinds: a hostile file may go wrong anywhere in either parser
        raise _malformed("agent.json", f"it can't be read ({type(error).__name__}: {error})") from error


def from_parts(body: Mapping[str, Any], tensors: Mapping[str, Array]) -> Agent:
    """Return the agent of a parsed description and its tensors.

    Raises:
        TaskError: `agent.malformed`.
    """
    observation, action = (spaces.from_json(body[name]) for name in ("observation_space", "action_space"))
    if body["mode"] not in ("deterministic", "stochastic"):
        raise _malformed("mode", "its mode is neither deterministic nor stochastic")
    if body["kind"] == "tabular":
        return _tabular(observation, action, tensors, body["mode"] == "stochastic")
    if body["kind"] == "mlp":
        return _mlp(observation, action, tensors, body)
    raise _malformed("kind", "its kind is neither tabular nor mlp")


def _tabular(observation: spaces.SpaceSpec, action: spaces.SpaceSpec, tensors: Mapping[str, Array],
             stochastic: bool) -> TabularAgent:
    policy = tensors["policy"].astype(np.float64)
    if observation.kind != "Discrete" or action.kind != "Discrete" or policy.shape != (observation.n, action.n):
        raise _malformed("policy", f"its table {policy.shape} does not fit its spaces")
    totals = policy.sum(axis=1)
    if not np.isfinite(policy).all() or (policy < 0).any() or (np.abs(totals - 1) > 1e-3).any():
        raise _malformed("policy", "a row of its table is not a set of chances that add up to 1")
    cumulative = np.cumsum(policy / totals[:, None], axis=1)
    return TabularAgent(observation, action, cumulative, policy.argmax(axis=1), stochastic)


def _mlp(observation: spaces.SpaceSpec, action: spaces.SpaceSpec, tensors: Mapping[str, Array],
         body: Mapping[str, Any]) -> MlpAgent:
    head = "categorical" if action.kind == "Discrete" else "gaussian"
    encoding = "one_hot" if observation.kind == "Discrete" else "flatten"
    if body["head"] != head or body["observation_encoding"] != encoding:
        raise _malformed("head", f"its spaces want a {head} head and {encoding} observations")
    width = observation.n if observation.kind == "Discrete" else int(np.prod(observation.shape))
    layers = []
    for layer in body["layers"]:
        weight, bias = tensors[layer["weight"]], tensors[layer["bias"]]
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
            raise _malformed(str(layer["weight"]), f"its shape {weight.shape} does not fit a layer of {width} inputs")
        if layer["activation"] not in ACTIVATIONS or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise _malformed(str(layer["weight"]), "the layer has an unknown activation or a number that is not finite")
        layers.append((np.ascontiguousarray(weight.T, np.float32), bias.astype(np.float32), str(layer["activation"])))
        width = weight.shape[0]
    if not layers or width != (action.n if action.kind == "Discrete" else int(np.prod(action.shape))):
        raise _malformed("layers", f"its last layer has {width} outputs, which does not fit its action space")
    return MlpAgent(observation, action, tuple(layers), body["mode"] == "stochastic",
                    _log_spread(tensors, width) if head == "gaussian" and body["mode"] == "stochastic" else None)


def _log_spread(tensors: Mapping[str, Array], width: int) -> Floats:
    spread = tensors["log_std"].astype(np.float32)
    if spread.shape != (width,) or not np.isfinite(spread).all():
        raise _malformed("log_std", f"its shape {spread.shape} does not fit {width} outputs, or it is not finite")
    return spread


def _draw(cumulative: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    draws = random.random(len(cumulative))[:, None] * cumulative[:, -1:]
    chosen: NDArray[np.int64] = (cumulative <= draws).sum(axis=1)
    return chosen


def _cumulative_softmax(scores: Floats) -> NDArray[np.float64]:
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(np.float64))
    return np.cumsum(weights, axis=1)


def _malformed(field: str, problem: str) -> TaskError:
    return TaskError("agent.malformed", f"The agent can't be used: {problem}.", field=field,
                     fix="Export it again with the learner that made it.")
