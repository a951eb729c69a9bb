"""What an observation or an action can be: a light description that both sides of a fence compute a layout from.

As JSON: {"type": "Discrete", "n", "start"}, {"type": "Box", "shape", "dtype", "low", "high"},
{"type": "MultiDiscrete", "shape", "low", "high"}, {"type": "MultiBinary", "shape"}. Bounds are one number, or a
flat row-major list of one per element; an infinite bound is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_ELEMENTS = 1 << 24
MAX_RANK = 8
BOX_TYPES = frozenset({"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
                       "uint32", "uint64"})
KINDS = ("Box", "Discrete", "MultiBinary", "MultiDiscrete")
Bound = int | float
Bounds = Bound | tuple[Bound, ...]


class SpaceError(ValueError):
    """A space that the channel can't carry, or a description of one that does not hold together."""


@dataclass(frozen=True)
class SpaceSpec:
    """One space. `n` and `start` are Discrete's; `low` and `high` (inclusive) are one number or one per element."""

    kind: str
    shape: tuple[int, ...] = ()
    dtype: str = "int64"
    n: int = 0
    start: int = 0
    low: Bounds = 0
    high: Bounds = 0

    @property
    def elements(self) -> int:
        """How many numbers one value has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """How many bytes one value takes."""
        return self.elements * np.dtype(self.dtype).itemsize

    def limits(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the least and the greatest finite value, arrays of the space's dtype and shape."""
        return _limit(self, self.low, least=True), _limit(self, self.high, least=False)


class Checker:
    """Checks batches of values of one space. Made once, used for every step."""

    def __init__(self, spec: SpaceSpec) -> None:
        self._low, self._high = spec.limits()

    def holds(self, values: npt.NDArray[Any]) -> bool:
        """Say whether every value of `values` (N, *shape) is a finite member of the space; NaN is none."""
        return bool(((values >= self._low) & (values <= self._high)).all())


def _limit(spec: SpaceSpec, bound: Bounds, *, least: bool) -> npt.NDArray[Any]:
    kind = np.dtype(spec.dtype)
    information: Any = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    edge = information.min if least else information.max
    parts = bound if isinstance(bound, tuple) else (bound,)
    finite = np.array([edge if math.isinf(part) else part for part in parts], dtype=kind)
    return finite.reshape(spec.shape) if isinstance(bound, tuple) else np.full(spec.shape, finite[0], dtype=kind)


def to_json(spec: SpaceSpec) -> dict[str, Any]:
    """Return the space as JSON values."""
    if spec.kind == "Discrete":
        return {"type": "Discrete", "n": spec.n, "start": spec.start}
    if spec.kind == "MultiBinary":
        return {"type": "MultiBinary", "shape": list(spec.shape)}
    body = {"type": spec.kind, "shape": list(spec.shape), "low": _bound_json(spec.low), "high": _bound_json(spec.high)}
    return {**body, "dtype": spec.dtype} if spec.kind == "Box" else body


def from_json(body: Mapping[str, Any]) -> SpaceSpec:
    """Return the space that `to_json` described.

    Raises:
        SpaceError: a kind, type, shape or bound that can't be.
    """
    kind = body.get("type") if isinstance(body, Mapping) else None
    if kind not in KINDS:
        raise SpaceError(f"a space of type {str(kind)[:80]!r} can't cross the channel; these can: {', '.join(KINDS)}")
    if kind == "Discrete":
        return discrete(_integer(body.get("n"), "n"), _integer(body.get("start", 0), "start"))
    shape = _shape(body.get("shape"))
    if kind == "MultiBinary":
        return multi_binary(shape)
    dtype = str(body.get("dtype")) if kind == "Box" else "int64"
    return bounded(str(kind), shape, dtype, _bound(body.get("low"), shape, -math.inf),
                   _bound(body.get("high"), shape, math.inf))


def discrete(n: int, start: int = 0) -> SpaceSpec:
    """Return the space of `n` integers from `start` on. Raises SpaceError."""
    if not 0 < n < 1 << 31 or abs(start) >= 1 << 31:
        raise SpaceError(f"Discrete({n}, start={start}) is out of range")
    return SpaceSpec("Discrete", n=n, start=start, low=start, high=start + n - 1)


def multi_binary(shape: tuple[int, ...]) -> SpaceSpec:
    """Return the space of arrays of `shape` of zeros and ones. Raises SpaceError."""
    return bounded("MultiBinary", shape, "int8", 0, 1)


def bounded(kind: str, shape: tuple[int, ...], dtype: str, low: Bounds, high: Bounds) -> SpaceSpec:
    """Return a checked Box, MultiDiscrete or MultiBinary. Raises SpaceError."""
    if len(shape) > MAX_RANK or any(size < 1 for size in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise SpaceError(f"{kind} of shape {shape} is empty or too large")
    if dtype not in BOX_TYPES:
        raise SpaceError(f"{kind} of {dtype[:40]} can't cross the channel; these can: {', '.join(sorted(BOX_TYPES))}")
    spec = SpaceSpec(kind, shape, dtype, low=low, high=high)
    try:
        least, greatest = spec.limits()
    except (OverflowError, ValueError) as error:
        raise SpaceError(f"the bounds of {kind} don't fit {dtype} and shape {shape}") from error
    if not bool((least <= greatest).all()):
        raise SpaceError(f"a lower bound of {kind} is above its upper bound")
    return spec


def from_gymnasium(space: Any) -> SpaceSpec:
    """Describe a Gymnasium space.

    Raises:
        SpaceError: the channel can't carry it; names its type.
    """
    kind = type(space).__name__
    if kind == "Discrete":
        return discrete(int(space.n), int(space.start))
    if kind == "Box":
        return bounded(kind, tuple(space.shape), str(space.dtype), _shortest(space.low), _shortest(space.high))
    if kind == "MultiDiscrete":
        start = np.asarray(space.start, dtype=np.int64)
        return bounded(kind, tuple(space.shape), "int64", _shortest(start),
                       _shortest(start + np.asarray(space.nvec, dtype=np.int64) - 1))
    if kind == "MultiBinary":
        return multi_binary(tuple(space.shape))
    raise SpaceError(f"a space of type {kind[:80]!r} can't cross the channel; these can: {', '.join(KINDS)}")


def to_gymnasium(spec: SpaceSpec) -> Any:
    """Return the Gymnasium space that `spec` describes."""
    from gymnasium import spaces

    if spec.kind == "Discrete":
        return spaces.Discrete(spec.n, start=spec.start)
    if spec.kind == "MultiBinary":
        return spaces.MultiBinary(spec.shape)
    low, high = (_full(spec, bound) for bound in (spec.low, spec.high))
    if spec.kind == "MultiDiscrete":
        return spaces.MultiDiscrete(high - low + 1, start=low)
    return spaces.Box(low, high, spec.shape, np.dtype(spec.dtype).type)


def _full(spec: SpaceSpec, bound: Bounds) -> npt.NDArray[Any]:
    values = np.asarray(bound, dtype=None if np.dtype(spec.dtype).kind == "f" else spec.dtype)
    return np.broadcast_to(values.astype(spec.dtype).reshape(spec.shape if isinstance(bound, tuple) else ()),
                           spec.shape).copy()


def _shortest(values: npt.NDArray[Any]) -> Bounds:
    flat = tuple(values.ravel().tolist())
    if len(set(flat)) == 1:
        return flat[0]  # type: ignore[no-any-return]
    return flat


def _bound_json(bound: Bounds) -> Any:
    if isinstance(bound, tuple):
        return [_bound_json(part) for part in bound]
    return None if math.isinf(bound) else bound


def _bound(value: Any, shape: tuple[int, ...], infinite: float) -> Bounds:
    if isinstance(value, list):
        if len(value) != math.prod(shape):
            raise SpaceError(f"{len(value)} bounds were given for {math.prod(shape)} elements")
        return tuple(_one_bound(part, infinite) for part in value)
    return _one_bound(value, infinite)


def _one_bound(value: Any, infinite: float) -> Bound:
    if value is None:
        return infinite
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise SpaceError(f"a bound must be a number or null, not {str(value)[:40]!r}")
    return value


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MAX_RANK:
        raise SpaceError(f"a shape must be a list of at most {MAX_RANK} integers")
    return tuple(_integer(size, "shape") for size in value)


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 62:
        raise SpaceError(f"{name} must be an integer, not {str(value)[:40]!r}")
    return value
