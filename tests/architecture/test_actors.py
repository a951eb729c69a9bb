"""Only `trust/identity` makes an actor: no other code can act with a role of its choice."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "ringfence"
MAY = SOURCE / "trust" / "identity" / "actors.py"
FIELDS = {"roles", "scopes", "kind", "person"}


def offences(tree: ast.AST) -> list[str]:
    """Return where a tree makes an actor, or another one out of one."""
    names = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
             for alias in node.names if alias.name == "Actor"}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in names or called.endswith(".Actor") or called == "Actor":
            found.append(f"line {node.lineno}: {ast.unparse(node)[:80]}")
        changes = {keyword.arg for keyword in node.keywords}
        if called.split(".")[-1] in ("replace", "__replace__") and (changes & FIELDS):
            found.append(f"line {node.lineno}: {ast.unparse(node)[:80]}")
        if called.endswith(("__setattr__", "__new__")):
            found.append(f"line {node.lineno}: {ast.unparse(node)[:80]}")
    return found


def test_no_other_code_makes_an_actor() -> None:
    found = {path.relative_to(SOURCE).as_posix(): made for path in sorted(SOURCE.rglob("*.py")) if path != MAY
             if (made := offences(ast.parse(path.read_text())))}
    assert found == {}


@pytest.mark.parametrize("code", [
    "from ringfence.trust.domain import Actor\nActor('1', 'x', 'person', frozenset({'worker'}), 'default')",
    "from ringfence.trust.domain import Actor as A\nA(*stolen)",
    "import ringfence.trust.domain as d\nd.Actor(id='1')",
    "from dataclasses import replace\nreplace(actor, roles=frozenset({'security_officer'}))",
    "object.__setattr__(actor, 'roles', frozenset())", "copy.replace(actor, scopes=frozenset())"])
def test_the_test_finds_what_it_looks_for(code: str) -> None:
    assert offences(ast.parse(code))


def test_identity_makes_them_from_an_account_or_with_no_role_at_all() -> None:
    calls = [node for node in ast.walk(ast.parse(MAY.read_text()))
             if isinstance(node, ast.Call) and ast.unparse(node.func) == "Actor"]
    roles = sorted(ast.unparse(call.args[3]) for call in calls)
    assert roles == ["frozenset()", "frozenset()", "frozenset(json.loads(row.roles))"]
