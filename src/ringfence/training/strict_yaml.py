"""YAML as specifications use it: plain values only, no name twice, no aliases (they can blow up without bound)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from ringfence.errors import InvalidError, TooLargeError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses aliases and names that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_mark()
            raise yaml.MarkedYAMLError(problem="an alias (*name) is not taken", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)


def load(text: str, what: str) -> dict[str, Any]:
    """Return the mapping that a YAML document holds; `what` names it in errors (`the run's specification`).

    Raises:
        InvalidError: `spec.unreadable`, with the line that is wrong.
    """
    if len(text) > MAX_BYTES:
        raise TooLargeError("spec.too_large", f"{what} is over {MAX_BYTES} bytes.", fix="Shorten it.")
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _unreadable(what, f"line {line}: {error.problem or error.context}", str(line)) from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _unreadable(what, str(error).splitlines()[0], "") from error
    if not isinstance(document, dict) or not _plain(document, MAX_DEPTH):
        raise _unreadable(what, "it is not a mapping of names to plain values", "")
    return document


def _plain(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(isinstance(key, str) and _plain(item, depth - 1) for key, item in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_plain(item, depth - 1) for item in value)
    return value is None or isinstance(value, (str, int, float, bool))


def _unreadable(what: str, problem: str, line: str) -> InvalidError:
    return InvalidError("spec.unreadable", f"{what} can't be read: {problem}.", field="line" if line else "",
                        value=line, fix="Correct it; examples/icu_sepsis/runs has specifications that work.")
