"""What users write in YAML, read strictly: plain values, no name twice, no aliases, no field that nobody knows.

Every mistake is an error that names the field by its path, what stands there, and the way out.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import yaml

from ringfence.errors import InvalidError, TooLargeError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses aliases (they can blow up without bound) and names that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="an alias (*name) is not taken", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class Fields:
    """One mapping of a document, read field by field. `noun` begins the codes of its errors (`declaration.invalid`)."""

    def __init__(self, noun: str, values: Mapping[str, Any], path: str = "") -> None:
        self._noun, self._values, self._path = noun, values, path
        self._asked: list[str] = []

    @property
    def values(self) -> Mapping[str, Any]:
        """Return the whole mapping as it stands."""
        return self._values

    def require_all_used(self) -> None:
        """Refuse a field that nobody has asked for."""
        for name in self._values:
            if name not in self._asked:
                raise self.wrong(name, name, "is not a field here", nearest(name, self._asked))

    def fields(self, name: str) -> Fields:
        """Return a required mapping as Fields."""
        return Fields(self._noun, self.mapping(name), self.full(name))

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a required mapping."""
        value = self.get(name)
        if not isinstance(value, Mapping) or not value:
            raise self.wrong(name, value, "is not a mapping", f"Write its fields, indented, under {name}:.")
        return dict(value)

    def text(self, name: str, longest: int = 200) -> str:
        """Return a required text."""
        value = self.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            raise self.wrong(name, value, f"is not a text of 1 to {longest} characters", "Put it in quotes.")
        return value

    def name(self, name: str) -> str:
        """Return a required name."""
        value = self.get(name)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise self.wrong(name, value, "is not a name",
                             "Use up to 63 lower-case letters, digits, dots, hyphens and underscores.")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a required list, which may be empty, of distinct texts."""
        values = self.get(name)
        if not isinstance(values, list) or not all(isinstance(item, str) and item for item in values):
            raise self.wrong(name, values, "is not a list of names", f"Write {name}: [one, another].")
        if len(set(values)) != len(values):
            raise self.wrong(name, values, "names one twice", "Name each once.")
        return tuple(values)

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a required whole number from `low` to `high`."""
        value = self.get(name)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(name, value, "is not a whole number that fits", f"Give one from {low} to {high}.")
        return value

    def number(self, name: str, low: float, high: float) -> float:
        """Return a required number from `low` to `high`."""
        value = self.get(name)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) \
                or not low <= value <= high:
            raise self.wrong(name, value, "is not a number that fits", f"Give one from {low:g} to {high:g}.")
        return float(value)

    def one_of(self, name: str, choices: Iterable[str]) -> str:
        """Return one of `choices`."""
        value, known = self.get(name), list(choices)
        if value not in known:
            raise self.wrong(name, value, "is not known here", nearest(str(value), known))
        return str(value)

    def has(self, name: str) -> bool:
        """Say whether the field stands there."""
        return self._values.get(name) is not None

    def get(self, name: str) -> Any:
        """Return a required field's value as it stands."""
        self._asked.append(name)
        value = self._values.get(name)
        if value is None:
            near = difflib.get_close_matches(name, [key for key in self._values if key not in self._asked], 1)
            full = self.full(name)
            raise InvalidError(f"{self._noun}.missing", f"{full} is missing.", field=full,
                               fix=f"Did you mean {name} where {near[0]} stands?" if near else f"Add {full}.")
        return value

    def wrong(self, name: str, value: object, problem: str, fix: str) -> InvalidError:
        """Return the error for a field whose value can't be taken."""
        shown = str(value)[:80]
        return InvalidError(f"{self._noun}.invalid", f"{self.full(name)}: {shown!r} {problem}.",
                            field=self.full(name), value=shown, fix=fix)

    def full(self, name: str) -> str:
        """Return the field's path from the top of the document."""
        return f"{self._path}.{name}" if self._path else name


def load(text: str, noun: str) -> Fields:
    """Read a YAML document; `noun` names it in errors (`declaration`).

    Raises:
        InvalidError: `<noun>.unreadable`, with the line that is wrong; TooLargeError: `<noun>.too_large`.
    """
    if len(text) > MAX_BYTES:
        raise TooLargeError(f"{noun}.too_large", f"The {noun} is over {MAX_BYTES} characters.", fix="Shorten it.")
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _unreadable(noun, f"line {line}: {error.problem or error.context}", str(line)) from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _unreadable(noun, (str(error).splitlines() or ["it is not YAML"])[0], "") from error
    if not isinstance(document, dict) or not _plain(document, MAX_DEPTH):
        raise _unreadable(noun, "it is not a mapping of names to plain values", "")
    return Fields(noun, document)


def nearest(value: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest of `known`, or all of them."""
    choices = sorted(set(known))
    near = difflib.get_close_matches(value, choices, 1, 0.5)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Known are: {', '.join(choices)}." if choices else "None is known here."


def _plain(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(isinstance(key, str) and _plain(item, depth - 1) for key, item in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_plain(item, depth - 1) for item in value)
    return value is None or isinstance(value, (str, int, float, bool))


def _unreadable(noun: str, problem: str, line: str) -> InvalidError:
    return InvalidError(f"{noun}.unreadable", f"The {noun} can't be read: {problem}.", field="line" if line else "",
                        value=line, fix="Correct it; the folders under examples/ have ones that work.")
