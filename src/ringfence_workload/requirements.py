"""What a simulator says it needs (`requirements:` in simulator.yaml), against what its fence has installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import metadata

from ringfence_workload.task import TaskError

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*((?:(?:[<>]=?|[=!~]=)\s*[0-9][0-9.]*\s*,?\s*)*)")
_CLAUSE = re.compile(r"([<>]=?|[=!~]=)\s*([0-9][0-9.]*)")
Release = tuple[int, ...]

_HOLDS: dict[str, Callable[[Release, Release], bool]] = {
    "==": lambda have, want: have == want, "!=": lambda have, want: have != want,
    ">=": lambda have, want: have >= want, "<=": lambda have, want: have <= want,
    ">": lambda have, want: have > want, "<": lambda have, want: have < want}


def require(wanted: Sequence[str]) -> list[str]:
    """Return each requirement with the version that is there.

    Only a name and comparisons of release numbers are understood (`numpy>=1.26,<3`), so that nothing is guessed.

    Raises:
        TaskError: `simulator.requirement_invalid`, `simulator.requirement_missing`.
    """
    return [_met(text) for text in wanted]


def _met(text: str) -> str:
    parsed = _REQUIREMENT.fullmatch(text)
    if not parsed:
        raise TaskError("simulator.requirement_invalid", f"{text[:80]!r} is not a requirement that can be checked.",
                        field="requirements", value=text[:80], fix="Write a name and versions, as in numpy>=1.26,<3.")
    name = parsed.group(1)
    try:
        have = metadata.version(name)
    except metadata.PackageNotFoundError:
        raise _missing(text, "it is not installed where simulators run") from None
    clauses = _CLAUSE.findall(parsed.group(2))
    if not all(_holds(_release(have), comparison, _release(number)) for comparison, number in clauses):
        raise _missing(text, f"{have} is installed where simulators run")
    return f"{text.strip()} ({have})"


def _missing(text: str, why: str) -> TaskError:
    return TaskError("simulator.requirement_missing", f"The simulator needs {text.strip()[:80]}, and {why}.",
                     field="requirements", value=text[:80],
                     fix="Put the package's source into the project, or have it added to environments/base.txt.")


def _release(version: str) -> Release:
    numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(part) for part in numbers.group().split(".")) if numbers else ()


def _holds(have: Release, comparison: str, want: Release) -> bool:
    if comparison == "~=":
        return _HOLDS[">="](*_level(have, want)) and have[:len(want) - 1] == want[:-1]
    return _HOLDS[comparison](*_level(have, want))


def _level(have: Release, want: Release) -> tuple[Release, Release]:
    width = max(len(have), len(want))
    return have + (0,) * (width - len(have)), want + (0,) * (width - len(want))
