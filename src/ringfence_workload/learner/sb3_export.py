"""From a trained Stable-Baselines3 model to an agent of plain tensors, which must act exactly alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ringfence_workload import agent as agents
from ringfence_workload.learner.export import agent_files
from ringfence_workload.task import TaskError
from ringfence_workload.wire.spaces import SpaceSpec, to_json

ACTIVATIONS = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.Identity: "identity"}
CHECKED_OBSERVATIONS = 20_000
CHUNK = 2_000
TIE = 1e-5


def export(model: Any, observation: SpaceSpec, action: SpaceSpec, seed: int) -> dict[str, bytes]:
    """Return the agent files of `model`, whose actions are checked against the library's own first.

    Raises:
        TaskError: `learner.export_differs`, or `agent.malformed` where a weight is not finite.
    """
    layers, tensors = _layers(model)
    description = {"kind": "mlp", "mode": "deterministic", "layers": layers,
                   "observation_space": to_json(observation), "action_space": to_json(action),
                   "observation_encoding": "one_hot" if observation.kind == "Discrete" else "flatten",
                   "head": "categorical" if action.kind == "Discrete" else "gaussian"}
    files = agent_files(description, tensors)
    agent = agents.load(files["agent.json"], files["agent.safetensors"])
    for batch in _observations(observation, np.random.default_rng(seed)):
        _require_same(model, agent, batch)
    return files


def _layers(model: Any) -> tuple[list[dict[str, str]], dict[str, NDArray[np.float32]]]:
    layers: list[dict[str, str]] = []
    tensors: dict[str, NDArray[np.float32]] = {}
    for module in _modules(model):
        if isinstance(module, nn.Linear):
            name = f"l{len(layers)}"
            layers.append({"weight": f"{name}.weight", "bias": f"{name}.bias", "activation": "identity"})
            tensors[f"{name}.weight"] = module.weight.detach().cpu().numpy()
            tensors[f"{name}.bias"] = module.bias.detach().cpu().numpy()
        else:
            layers[-1]["activation"] = ACTIVATIONS[type(module)]
    return layers, tensors


def _modules(model: Any) -> list[Any]:
    """Return the modules from the observation to the action's scores, in order."""
    if hasattr(model, "q_net"):
        return list(model.q_net.q_net)
    return [*model.policy.mlp_extractor.policy_net, model.policy.action_net]


def _observations(space: SpaceSpec, random: np.random.Generator) -> Iterator[NDArray[Any]]:
    if space.kind == "Discrete":
        every = np.arange(space.n) if space.n <= CHECKED_OBSERVATIONS else random.choice(
            space.n, CHECKED_OBSERVATIONS, replace=False)
        yield from np.array_split(every + space.start, -(-len(every) // CHUNK))
        return
    low, high = (limit.astype(np.float64).clip(-10, 10) for limit in space.limits())
    for _ in range(CHECKED_OBSERVATIONS // CHUNK):
        yield random.uniform(low, high, (CHUNK, *space.shape)).astype(space.dtype)


def _require_same(model: Any, agent: agents.Agent, observations: NDArray[Any]) -> None:
    theirs = model.predict(observations - agent.observation_space.start, deterministic=True)[0]
    ours = agent.act(observations, np.random.default_rng(0)) - agent.action_space.start
    if agent.action_space.kind != "Discrete":
        same = bool(np.allclose(ours, theirs, rtol=1e-4, atol=1e-4))
    else:
        # The two round differently in the last bit, which may turn a tie of scores, and nothing else.
        best = np.sort(agent.scores(observations), axis=1)[:, -2:] if isinstance(agent, agents.MlpAgent) else None
        ties = best is not None and (best.shape[1] > 1) & (best[:, -1] - best[:, 0] <= TIE * (1 + abs(best[:, -1])))
        same = bool(((ours == theirs) | ties).all())
    if not same:
        raise TaskError("learner.export_differs", "The exported agent would not act as the trained one does.",
                        fix="Use only dense layers with tanh or relu, and observations that are not images.")
