"""The agent format's allow-list, in pure Python: what may be signed, and what a request to an agent may hold.

The description's words are those of `ringfence_workload/agent.py`, which runs agents; this side never does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.errors import InvalidError
from ringfence.registry import safetensors
from ringfence.registry.safetensors import Tensor

FORMAT = "ringfence-agent/1"
MAX_DESCRIPTION = 1 << 20
_FIELDS = {"format", "kind", "observation_space", "action_space", "mode", "layers", "observation_encoding", "head"}
_ACTIVATIONS = ("tanh", "relu", "identity")
_NUMBER_TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
                 "uint64")
_SPACE_FIELDS = {"Discrete": {"type", "n", "start"}, "Box": {"type", "shape", "dtype", "low", "high"}}


@dataclass(frozen=True)
class AgentShape:
    """What an agent takes and gives, as JSON spaces, and its kind (`tabular`, `mlp`)."""

    kind: str
    observation_space: dict[str, Any]
    action_space: dict[str, Any]


def check(description: bytes, tensors: bytes) -> AgentShape:
    """Return the shape of an agent whose two files keep to the format.

    Raises:
        InvalidError: `model.agent_format` or `model.tensors`, naming what is wrong.
    """
    body = _parsed(description)
    if body.get("format") != FORMAT:
        raise _bad("format", f"its format is not {FORMAT}")
    if unknown := set(body) - _FIELDS:
        raise _bad(min(unknown), "it has a field that the format does not know")
    if body.get("mode") not in ("deterministic", "stochastic"):
        raise _bad("mode", "its mode is neither deterministic nor stochastic")
    spaces = [_space(name, body.get(name)) for name in ("observation_space", "action_space")]
    held = safetensors.read(tensors)
    if body.get("kind") == "tabular":
        _require_table(spaces, held)
    elif body.get("kind") == "mlp":
        _require_network(body, spaces, held)
    else:
        raise _bad("kind", "its kind is neither tabular nor mlp")
    return AgentShape(str(body["kind"]), *spaces)


def _parsed(description: bytes) -> dict[str, Any]:
    if len(description) > MAX_DESCRIPTION:
        raise _bad("agent.json", f"it is larger than {MAX_DESCRIPTION} bytes")
    try:
        body = json.loads(description)
    except (ValueError, RecursionError) as error:
        raise _bad("agent.json", "it is not JSON") from error
    if not isinstance(body, dict):
        raise _bad("agent.json", "it is not a JSON object")
    return body


def _space(name: str, space: Any) -> dict[str, Any]:
    kind = space.get("type") if isinstance(space, Mapping) else None
    if not isinstance(kind, str) or kind not in _SPACE_FIELDS:
        raise _bad(name, "its space is neither Discrete nor Box")
    if unknown := set(space) - _SPACE_FIELDS[kind]:
        raise _bad(f"{name}.{min(unknown)}", "its space has a field that the format does not know")
    fits = _discrete(space) if kind == "Discrete" else _box(space)
    if not fits:
        raise _bad(name, f"its {kind} space has a size, type or bound that can't be")
    return dict(space)


def _discrete(space: Mapping[str, Any]) -> bool:
    count, start = space.get("n"), space.get("start", 0)
    return type(count) is int and 0 < count < 2**31 and type(start) is int and abs(start) < 2**62


def _box(space: Mapping[str, Any]) -> bool:
    shape = space.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and 0 < side < 2**24 for side in shape):
        return False
    size = math.prod(shape)
    known = space.get("dtype") in _NUMBER_TYPES
    return known and size < 2**24 and all(_bound(space.get(name), size) for name in ("low", "high"))


def _bound(bound: Any, size: int) -> bool:
    values = bound if isinstance(bound, list) else [bound]
    right_count = not isinstance(bound, list) or len(bound) == size
    return right_count and all(value is None or (type(value) in (int, float) and math.isfinite(value))
                               for value in values)


def _require_table(spaces: list[dict[str, Any]], held: Mapping[str, Tensor]) -> None:
    observation, action = spaces
    if observation["type"] != "Discrete" or action["type"] != "Discrete":
        raise _bad("kind", "a table needs Discrete spaces")
    _require_tensors({"policy": (observation["n"], action["n"])}, held)


def _require_network(body: Mapping[str, Any], spaces: list[dict[str, Any]], held: Mapping[str, Tensor]) -> None:
    observation, action = spaces
    head, encoding = ("categorical" if action["type"] == "Discrete" else "gaussian",
                      "one_hot" if observation["type"] == "Discrete" else "flatten")
    if body.get("head") != head or body.get("observation_encoding") != encoding:
        raise _bad("head", f"its spaces want a {head} head and {encoding} observations")
    wanted: dict[str, tuple[int, ...]] = {}
    width = size(observation)
    for layer in _layers(body.get("layers")):
        weight = held.get(layer["weight"])
        outputs = weight.shape[0] if weight is not None and weight.shape else 0
        wanted |= {layer["weight"]: (outputs, width), layer["bias"]: (outputs,)}
        width = outputs
    if width != size(action):
        raise _bad("layers", f"its last layer has {width} outputs, its action space {size(action)}")
    if head == "gaussian" and "log_std" in held:
        wanted["log_std"] = (size(action),)
    _require_tensors(wanted, held)


def _layers(layers: Any) -> list[dict[str, str]]:
    if not isinstance(layers, list) or not 0 < len(layers) <= 64:
        raise _bad("layers", "its layers are not a list of 1 to 64")
    for layer in layers:
        if (not isinstance(layer, dict) or set(layer) != {"weight", "bias", "activation"}
                or not all(isinstance(value, str) for value in layer.values())
                or layer["activation"] not in _ACTIVATIONS):
            raise _bad("layers", "a layer is not a weight, a bias and a known activation")
    return layers


def _require_tensors(wanted: Mapping[str, tuple[int, ...]], held: Mapping[str, Tensor]) -> None:
    for name, shape in wanted.items():
        if name not in held or held[name].shape != shape:
            raise _bad(name, f"the tensor is not there with the shape {shape}")
    if extra := set(held) - set(wanted):
        raise _bad(min(extra), "its tensors hold one that the description does not use")


def size(space: Mapping[str, Any]) -> int:
    """Return how many numbers encode one element of a JSON space: n of a Discrete, the elements of a Box."""
    return int(space["n"]) if space["type"] == "Discrete" else math.prod(space["shape"])


def _bad(field: str, problem: str) -> InvalidError:
    return InvalidError("model.agent_format", f"agent.json can't be taken: {problem}.", field=field,
                        fix="Export the agent again with a learner that writes the format ringfence-agent/1.")
