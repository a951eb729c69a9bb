"""The Open Inference Protocol, version 2: `POST /v2/models/NAME/infer`."""

from __future__ import annotations

import math
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ringfence.api.access import Caller, ThePlatform, does
from ringfence.api.rendering import Json
from ringfence.errors import InvalidError
from ringfence.trust.domain import Action

router = APIRouter(prefix="/v2", tags=["inference"])

_INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})


class Tensor(BaseModel):
    """One named tensor: `data` flat in row-major order, or nested as `shape` says."""

    model_config = ConfigDict(frozen=True)

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: Literal["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64"]
    data: list[Any]


class Question(BaseModel):
    """An inference request: exactly one input, a batch of observations along the first axis."""

    model_config = ConfigDict(frozen=True)

    id: str = ""
    inputs: list[Tensor] = Field(min_length=1, max_length=1)


@router.get("/health/live")
def live() -> dict[str, bool]:
    """Say that the server lives."""
    return {"live": True}


@router.get("/models/{name}/ready", **does(Action.ENDPOINT_SHOW))
def ready(name: str, platform: ThePlatform, actor: Caller) -> Json:
    """Say whether an endpoint is there."""
    platform.serving.show(actor, name)
    return {"name": name, "ready": True}


@router.post("/models/{name}/infer", **does(Action.ENDPOINT_ASK))
def infer(name: str, body: Question, platform: ThePlatform, actor: Caller) -> Json:
    """Ask an endpoint which actions to take."""
    answer = platform.serving.ask(actor, name, observations_of(body.inputs[0]))
    response: Json = {"model_name": name, "outputs": [tensor_of("action", answer)]}
    return {**response, "id": body.id} if body.id else response


def observations_of(tensor: Tensor) -> list[Any]:
    """Return the tensor's rows as nested lists.

    Raises:
        InvalidError: shape, datatype and data don't agree.
    """
    flat = _flattened(tensor.data)
    if min(tensor.shape) < 1 or math.prod(tensor.shape) != len(flat):
        raise InvalidError("inference.shape", f"The shape {tensor.shape} does not fit {len(flat)} values.",
                           fix="Send as many values as the shape's product.", field="inputs.0.shape")
    whole = tensor.datatype in _INTEGERS
    if not all(_is_number(value, whole) for value in flat):
        raise InvalidError("inference.datatype", f"The data are not all {tensor.datatype}.",
                           fix="Send finite numbers of the datatype named.", field="inputs.0.data")
    for size in reversed(tensor.shape[1:]):
        flat = [flat[start:start + size] for start in range(0, len(flat), size)]
    return flat


def tensor_of(name: str, rows: list[Any]) -> Json:
    """Return rows of numbers as a tensor of the protocol, its data flat."""
    shape, inner = [len(rows)], rows
    while inner and isinstance(inner[0], list):
        shape.append(len(inner[0]))
        inner = [value for row in inner for value in row]
    whole = all(isinstance(value, int) for value in inner)
    return {"name": name, "shape": shape, "datatype": "INT64" if whole else "FP64", "data": inner}


def _flattened(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise InvalidError("inference.ragged", "The data are not nested evenly.", fix="Send flat data and a shape.",
                               field="inputs.0.data")
        data = [value for row in data for value in row]
    return data


def _is_number(value: object, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) if whole else math.isfinite(value)
