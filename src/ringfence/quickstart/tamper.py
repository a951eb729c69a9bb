"""Change copies of the evidence as a forger would, and see whether the offline verifiers notice."""

from __future__ import annotations

import json


def forge_record(lines: list[str]) -> list[str]:
    """Return the exported trail with one actor's name replaced by another's, in the middle of the records."""
    records = [index for index, line in enumerate(lines) if '"seq"' in line and '"actor"' in line]
    target = records[len(records) // 2]
    forged = json.loads(lines[target])
    _replace_first_string(forged, "name", "someone.else")
    return [*lines[:target], json.dumps(forged, sort_keys=True, separators=(",", ":")), *lines[target + 1 :]]


def remove_record(lines: list[str]) -> list[str]:
    """Return the exported trail without one of its records."""
    records = [index for index, line in enumerate(lines) if '"seq"' in line and '"actor"' in line]
    target = records[len(records) // 3]
    return lines[:target] + lines[target + 1 :]


def flip_bit(package: bytes, find: bytes) -> bytes:
    """Return the package with one bit changed within the member that follows `find`."""
    place = package.index(find) + 1024
    return package[:place] + bytes([package[place] ^ 1]) + package[place + 1 :]


def _replace_first_string(value: object, key: str, replacement: str) -> bool:
    if isinstance(value, dict):
        if isinstance(value.get(key), str):
            value[key] = replacement
            return True
        return any(_replace_first_string(child, key, replacement) for child in value.values())
    return False
