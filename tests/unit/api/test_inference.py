"""The Open Inference Protocol: tensors in, tensors out."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ringfence.api.routes.inference import Tensor, observations_of, tensor_of
from ringfence.errors import InvalidError

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def nested(values: list[Any], shape: list[int]) -> list[Any]:
    for size in reversed(shape[1:]):
        values = [values[start:start + size] for start in range(0, len(values), size)]
    return values


@given(SHAPES, st.booleans())
def test_flat_and_nested_data_mean_the_same(shape: list[int], flat: bool) -> None:
    values = list(range(math.prod(shape)))
    tensor = Tensor(name="x", shape=shape, datatype="INT64", data=values if flat else nested(values, shape))
    assert observations_of(tensor) == nested(values, shape)
    assert tensor_of("y", observations_of(tensor)) == {"name": "y", "shape": shape, "datatype": "INT64", "data": values}


@pytest.mark.parametrize(("shape", "datatype", "data"), [
    ([2], "INT64", [1]), ([1, 2], "INT64", [1]), ([0], "INT64", []), ([-1], "INT64", [1]), ([1], "INT64", [1.5]),
    ([1], "INT64", [True]), ([1], "INT64", ["1"]), ([1], "INT64", [None]), ([1], "FP32", [float("nan")]),
    ([1], "FP64", [float("inf")]), ([2], "INT64", [[1], 2]), ([1], "INT64", [{}])])
def test_what_does_not_fit_is_refused(shape: list[int], datatype: Any, data: list[Any]) -> None:
    with pytest.raises(InvalidError):
        observations_of(Tensor(name="x", shape=shape, datatype=datatype, data=data))


def test_an_endpoint_is_asked_with_a_key(client: TestClient, platform: Any) -> None:
    asked = []
    platform.serving = SimpleNamespace(ask=lambda actor, name, rows: asked.append((actor.name, name, rows)) or [4, 5])
    question = {"id": "q1", "inputs": [{"name": "s", "shape": [2], "datatype": "INT64", "data": [100, 7]}]}
    headers = {"Authorization": "Bearer rf_good"}
    answer = client.post("/v2/models/icu/infer", json=question, headers=headers)
    assert answer.json() == {"model_name": "icu", "id": "q1",
                             "outputs": [{"name": "action", "shape": [2], "datatype": "INT64", "data": [4, 5]}]}
    assert asked == [("monitor", "icu", [100, 7])]
    assert client.post("/v2/models/icu/infer", json=question).status_code == 401
    assert len(asked) == 1


@pytest.mark.parametrize("inputs", [[], [{"name": "a"}],
                                    [{"name": "a", "shape": [1], "datatype": "BYTES", "data": [1]}],
                                    [{"name": "a", "shape": [1], "datatype": "INT64", "data": [1]}] * 2])
def test_a_malformed_question_never_reaches_the_endpoint(client: TestClient, platform: Any, inputs: list[Any]) -> None:
    platform.serving = SimpleNamespace()
    answer = client.post("/v2/models/icu/infer", json={"inputs": inputs}, headers={"Authorization": "Bearer rf_good"})
    assert answer.status_code == 422
