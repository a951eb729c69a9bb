from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_workload.wire import spaces
from ringfence_workload.wire.spaces import Checker, SpaceError, SpaceSpec

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@st.composite
def boxes(draw: Any) -> SpaceSpec:
    dtype, shape = draw(st.sampled_from(FLOATS + INTEGERS)), draw(shapes)
    kind: Any = np.finfo(dtype) if dtype in FLOATS else np.iinfo(dtype)
    one: Any = (st.floats(-100, 100, width=16) | st.just(math.inf) if dtype in FLOATS
                else st.integers(int(kind.min), int(kind.max)))

    def bounds() -> Any:
        many = draw(st.booleans()) and math.prod(shape) > 1
        return tuple(draw(one) for _ in range(math.prod(shape))) if many else draw(one)

    low, high = bounds(), bounds()
    low, high = np.broadcast_arrays(np.asarray(low, object), np.asarray(high, object))
    pairs = [sorted((-one if one == math.inf else one, other)) for one, other in zip(low.flat, high.flat, strict=True)]
    if len(pairs) == 1:
        return spaces.bounded("Box", shape, dtype, pairs[0][0], pairs[0][1])
    return spaces.bounded("Box", shape, dtype, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))


any_space = (boxes() | st.builds(spaces.discrete, st.integers(1, 1000), st.integers(-1000, 1000))
             | shapes.map(spaces.multi_binary))


@given(any_space)
def test_a_space_survives_json(spec: SpaceSpec) -> None:
    again = spaces.from_json(json.loads(json.dumps(spaces.to_json(spec), allow_nan=False)))
    assert again == spec
    for one, other in zip(again.limits(), spec.limits(), strict=True):
        assert one.dtype == other.dtype == np.dtype(spec.dtype)
        assert (one == other).all() and one.shape == spec.shape


@given(any_space, st.integers(1, 5))
def test_the_limits_are_members_and_what_lies_beyond_is_not(spec: SpaceSpec, num: int) -> None:
    low, high = spec.limits()
    check = Checker(spec)
    assert check.holds(np.broadcast_to(low, (num, *spec.shape)))
    assert check.holds(np.broadcast_to(high, (num, *spec.shape)))
    wide = np.broadcast_to(high, (num, *spec.shape)).astype(np.float64 if low.dtype.kind == "f" else object)
    beyond = wide.copy()
    beyond.flat[-1] = math.inf if low.dtype.kind == "f" else int(high.flat[-1]) + 1
    assert not check.holds(beyond)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_member_even_of_an_unbounded_box(dtype: str, bad: float) -> None:
    check = Checker(spaces.bounded("Box", (2,), dtype, -math.inf, math.inf))
    assert check.holds(np.zeros((3, 2), dtype))
    values = np.zeros((3, 2), dtype)
    values[2, 1] = bad
    assert not check.holds(values)


@pytest.mark.parametrize(("body", "named"), [
    ({"type": "Dict", "spaces": {}}, "Dict"), ({"type": "Text"}, "Text"), ({"type": None}, "None"), ([], "None"),
    ({"type": "Discrete", "n": 0}, "Discrete(0"), ({"type": "Discrete", "n": 2.5}, "n must be"),
    ({"type": "Discrete", "n": True}, "n must be"), ({"type": "Discrete", "n": 1 << 40}, "Discrete("),
    ({"type": "Box", "shape": [2], "dtype": "complex64", "low": 0, "high": 1}, "complex64"),
    ({"type": "Box", "shape": [2], "dtype": "object", "low": 0, "high": 1}, "object"),
    ({"type": "Box", "shape": [0], "dtype": "float32", "low": 0, "high": 1}, "empty"),
    ({"type": "Box", "shape": [-1], "dtype": "float32", "low": 0, "high": 1}, "empty"),
    ({"type": "Box", "shape": [1 << 20, 1 << 20], "dtype": "float32", "low": 0, "high": 1}, "too large"),
    ({"type": "Box", "shape": [1] * 9, "dtype": "float32", "low": 0, "high": 1}, "shape"),
    ({"type": "Box", "shape": "22", "dtype": "float32", "low": 0, "high": 1}, "shape"),
    ({"type": "Box", "shape": [2], "dtype": "float32", "low": [0], "high": 1}, "1 bounds"),
    ({"type": "Box", "shape": [2], "dtype": "float32", "low": 2, "high": 1}, "above"),
    ({"type": "Box", "shape": [2], "dtype": "uint8", "low": -1, "high": 1}, "don't fit"),
    ({"type": "Box", "shape": [2], "dtype": "float32", "low": "a", "high": 1}, "bound"),
    ({"type": "Box", "shape": [2], "dtype": "float32", "low": math.nan, "high": 1}, "bound"),
    ({"type": "MultiDiscrete", "shape": [2], "low": [0, 0], "high": [1, -1]}, "above"),
])
def test_what_cannot_cross_is_refused_by_name(body: Any, named: str) -> None:
    with pytest.raises(SpaceError, match=None) as caught:
        spaces.from_json(body)
    assert named in str(caught.value)
