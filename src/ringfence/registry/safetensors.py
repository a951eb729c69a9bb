"""The header of a safetensors file, read in pure Python and believed in nothing.

Source: the format's description in huggingface/safetensors (README, "Format"): 8 bytes of little-endian length, a JSON
header, then the tensors, which must cover the rest without gap or overlap.
"""

from __future__ import annotations

import json
import math
import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.errors import InvalidError

MAX_HEADER = 1 << 20
MAX_TENSORS = 1024
_LENGTH = struct.Struct("<Q")
_WIDTHS = {"F32": 4}


@dataclass(frozen=True)
class Tensor:
    """One tensor: its shape, and where its float32 values lie in the file."""

    shape: tuple[int, ...]
    begin: int
    end: int


def read(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Raises:
        InvalidError: `model.tensors`: the header lies, is too large, or a value is not a finite float32.
    """
    if len(data) < _LENGTH.size:
        raise _bad("it is shorter than its own length field")
    (length,) = _LENGTH.unpack_from(data)
    if length > min(MAX_HEADER, len(data) - _LENGTH.size):
        raise _bad(f"its header claims {length} bytes")
    start = _LENGTH.size + length
    entries = _header(data[_LENGTH.size : start])
    tensors = {name: _tensor(name, entry, start) for name, entry in entries.items() if name != "__metadata__"}
    if len(tensors) > MAX_TENSORS:
        raise _bad(f"it names {len(tensors)} tensors, at most {MAX_TENSORS} are taken")
    _require_cover(tensors, start, len(data))
    _require_finite(data[start:])
    return tensors


def _header(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise _bad("its header is not a JSON object")
    try:
        entries = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _bad("its header is not strict JSON") from error
    metadata = entries.get("__metadata__", {})
    if not isinstance(metadata, Mapping) or not all(isinstance(value, str) for value in metadata.values()):
        raise _bad("its metadata is not text by name")
    return dict(entries)


def _tensor(name: str, entry: Any, start: int) -> Tensor:
    if not isinstance(entry, Mapping) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _bad(f"{name!r} has other fields than dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _WIDTHS:
        raise _bad(f"{name!r} has the type {dtype!r}; agents are float32 (F32)")
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2 or len(shape) > 8:
        raise _bad(f"the shape or offsets of {name!r} are not small lists of natural numbers")
    if offsets[1] - offsets[0] != math.prod(shape) * _WIDTHS[dtype]:
        raise _bad(f"the shape of {name!r} does not fit its bytes")
    return Tensor(tuple(shape), start + offsets[0], start + offsets[1])


def _require_cover(tensors: Mapping[str, Tensor], start: int, size: int) -> None:
    place = start
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != place:
            raise _bad("its tensors leave a gap or overlap")
        place = tensor.end
    if place != size:
        raise _bad("bytes follow its last tensor, or are missing from it")


def _require_finite(values: bytes) -> None:
    if len(values) % 4 or not all(map(math.isfinite, array("f", values))):
        raise _bad("it holds a number that is not finite")


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**48 for item in value)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _bad(problem: str) -> InvalidError:
    return InvalidError("model.tensors", f"agent.safetensors can't be taken: {problem}.", field="agent.safetensors",
                        fix="Export the agent again with a learner that writes safetensors.")
