"""What an operator can set: every variable with its default."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, TypeGuard

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ringfence import settings
from ringfence.settings import Settings
from tools.reference import ROOT
from tools.reference.markdown import code, sentence, table
from tools.reference.markdown import page as whole

_SIGNS = {"ge": "at least", "gt": "over", "le": "at most", "lt": "under"}
_WORDS = {"str": "text", "Path": "path", "int": "whole number", "float": "number", "bool": "`true` or `false`"}
_VARIABLE = re.compile(r"RINGFENCE_[A-Z_]*[A-Z]")
# Read by the command line alone: which platform it talks to.
_CLIENT = {
    "RINGFENCE_CONTEXT": "Context to use instead of the current one, as with `--context`.",
    "RINGFENCE_URL": "Platform to talk to, instead of any context's.",
    "RINGFENCE_CA": "Authority (PEM file) of the platform at `RINGFENCE_URL`.",
    "RINGFENCE_TOKEN": "Session token or API key to use instead of the context's.",
}
# Set by the platform itself, inside a fence.
_INTERNAL = {"RINGFENCE_PROCESSES"}


def page() -> str:
    """Return the reference of settings."""
    sections = [f"## {(section or 'general').capitalize()}\n\n{help_}\n\n{_rows(section, model)}"
                for section, help_, model in _sections()]
    client = table(["Variable", "What it is"], [[code(name), help_] for name, help_ in _CLIENT.items()])
    intro = ("Every setting is an environment variable of the process that runs `ringfence up` (see "
             "[Operate](../howto/operate.md)). A value that can't be used stops the start, with the variable's name.")
    return whole("Settings", intro, *sections,
                 f"## The command line's own\n\n`RINGFENCE_HOME` says where contexts are kept, too.\n\n{client}")


def variables() -> set[str]:
    """Return every variable that the page names."""
    own = {_name(section, field) for section, _, model in _sections() for field in model.model_fields}
    return own | set(_CLIENT)


def variables_in_code() -> set[str]:
    """Return every variable whose whole name stands in the source as a value."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "src").rglob("*.py"))
    found = {node.value for tree in trees for node in ast.walk(tree)
             if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {value for value in found if _VARIABLE.fullmatch(value)} - _INTERNAL


def _sections() -> Iterator[tuple[str, str, type[BaseModel]]]:
    yield "", sentence(settings.__doc__).split(":")[0] + ".", Settings
    for name, field in Settings.model_fields.items():
        if _is_section(field.annotation):
            yield name, sentence(field.annotation.__doc__), field.annotation


def _is_section(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _name(section: str, field: str) -> str:
    return "RINGFENCE_" + "__".join(part for part in (section, field) if part).upper()


def _rows(section: str, model: type[BaseModel]) -> str:
    rows = [[code(_name(section, name)), f"{_WORDS[getattr(field.annotation, '__name__', '')]}{_limits(field)}",
             _default(_name(section, name), field), field.description or ""]
            for name, field in model.model_fields.items() if not _is_section(field.annotation)]
    return table(["Variable", "Takes", "Default", "What it is"], rows)


def _limits(field: Any) -> str:
    found = [f"{word} {getattr(limit, sign)}" for limit in field.metadata for sign, word in _SIGNS.items()
             if getattr(limit, sign, None) is not None]
    return f", {', '.join(found)}" if found else ""


def _default(name: str, field: Any) -> str:
    if field.default_factory:
        told = sentence(field.default_factory.__doc__).removeprefix("Return ").removesuffix(".")
        return told.removeprefix(f"{code(name)}, or ")
    if field.default in (PydanticUndefined, ""):
        return "empty"
    if isinstance(field.default, bool):
        return code(str(field.default).lower())
    return f"{code(field.default)}{_readable(field.default) if name.endswith('_BYTES') else ''}"


def _readable(size: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift:
            return f" ({size / (1 << shift):g} {unit})"
    return ""
