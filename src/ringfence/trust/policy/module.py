"""A project's own rule module: what it may contain. It can add reasons to deny, and nothing else.

Checked on the module's syntax tree when it is added: its package, its imports, that it defines `deny` as a set, that it
reads `input` and its own rules only, and that it calls only functions that the embedded engine and OPA decide alike. A
function that an engine does not have would otherwise show only when the rule is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import regorus

from ringfence.errors import InvalidError

LARGEST = 64 * 1024
BUILTINS = frozenset(re.findall(r"\S+", """
abs all any array.concat array.reverse array.slice ceil concat contains count endswith floor format_int indexof
intersection is_array is_boolean is_null is_number is_object is_set is_string lower max min numbers.range
object.filter object.get object.keys object.remove object.union product regex.match replace round sort split sprintf
startswith strings.any_prefix_match strings.any_suffix_match substring sum to_number trim trim_left trim_prefix
trim_right trim_space trim_suffix type_name union upper
"""))
_PACKAGE = re.compile(r"ringfence\.project\.([a-z][a-z0-9_]{0,62})")


@dataclass(frozen=True)
class ProjectPolicy:
    """A module that was checked. `package` is the last word of its package, unique on the platform."""

    name: str
    project: str
    package: str
    rego: str


def check(name: str, project: str, rego: str) -> ProjectPolicy:
    """Return the module, checked.

    Raises:
        InvalidError: it is no Rego, or more than a project's module may be; the message says where and why.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", name):
        raise _refused("A policy's name is made of lower-case letters, digits and ._-", "name", name)
    if len(rego.encode()) > LARGEST:
        raise _refused(f"A policy is at most {LARGEST} bytes long")
    tree = _parsed(rego)
    package = _PACKAGE.fullmatch(_path(tree["package"]["refr"]))
    if not package:
        raise _refused("The package must be ringfence.project.NAME")
    _check_imports(tree)
    functions, sets = _heads(tree)
    if "deny" not in sets:
        raise _refused("It must say when it denies, as `deny contains msg if { ... }`")
    _check_body(tree["rules"], functions)
    return ProjectPolicy(name, project, package.group(1), rego)


def _parsed(rego: str) -> dict[str, Any]:
    engine = regorus.Engine()
    try:
        engine.add_policy("policy.rego", rego)
        tree: dict[str, Any] = json.loads(engine.get_ast_as_json())[0]["ast"]
    except (RuntimeError, ValueError) as error:
        text = str(error).partition("Stack backtrace")[0].split("\n")
        where = next((line.strip() for line in text if "policy.rego:" in line), "").removeprefix("--> policy.rego:")
        why = next((line.removeprefix("error:").strip() for line in text if line.startswith("error:")), "no Rego")
        raise _refused(f"It can't be read at line and column {where.rstrip(':') or 'unknown'}: {why}") from None
    return tree


def _check_imports(tree: dict[str, Any]) -> None:
    for item in tree["imports"]:
        path = _path(item["refr"])
        if path != "rego.v1" and not path.startswith("future.keywords"):
            raise _refused(f"It may not import {path}: it sees `input` and its own rules only")


def _heads(tree: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the names that the module defines as functions, and as sets."""
    functions: set[str] = set()
    sets: set[str] = set()
    for rule in tree["rules"]:
        head = rule.get("Spec", {}).get("head", {})
        (kind, body), = head.items() if head else (("Default", rule.get("Default", {})),)
        name = _path(body.get("refr", {}))
        if kind == "Func":
            functions.add(name)
        if kind == "Set":
            sets.add(name)
        elif name == "deny" or name.startswith(("deny.", "deny[")):
            raise _refused("`deny` must be a set: write `deny contains msg if { ... }`")
    return functions, sets


def _check_body(rules: Any, functions: set[str]) -> None:
    for kind, node in _nodes(rules):
        if kind == "Call":
            name = _path(node["fcn"])
            if name not in BUILTINS and name not in functions:
                raise _refused(f"It may not call {name}: no built-in that every engine decides alike")
        elif kind == "Var" and node.get("value") == "data":
            raise _refused("It may not read `data`: it sees `input` and its own rules only")
        elif kind == "with_mods" and node:
            raise _refused("It may not use `with`")


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from node.items()
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _path(reference: Any) -> str:
    """Return `a.b.c` of a reference's tree; what is no plain path gives a name that nothing matches."""
    if "Var" in reference:
        return str(reference["Var"]["value"])
    if "RefDot" in reference:
        return f"{_path(reference['RefDot']['refr'])}.{reference['RefDot']['field'][1]}"
    if "RefBrack" in reference:
        return f"{_path(reference['RefBrack']['refr'])}[]"
    return "?"


def _refused(why: str, field: str = "rego", value: str = "") -> InvalidError:
    return InvalidError("policy.invalid", f"The policy is refused. {why.rstrip('.')}.", field=field, value=value[:80],
                        fix="See docs/reference/policies.md for what a project's policy may contain.")
