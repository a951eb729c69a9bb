"""Every error code that the source can raise, found by reading it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tools.reference import ROOT
from tools.reference.markdown import code, table
from tools.reference.markdown import page as whole

CODE = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")
# What is raised inside a fence leaves it as this.
FENCED, OUTSIDE = "TaskError", "WorkloadError"


@dataclass(frozen=True)
class Raised:
    """One place that raises: `kind` is a class of `ringfence.errors` or below it, `message` and `fix` are templates."""

    code: str
    kind: str
    status: int
    message: str
    fix: str
    where: str


@dataclass(frozen=True)
class Kind:
    """A class of errors, and what the API answers for it."""

    name: str
    status: int


def page() -> str:
    """Return the reference of errors."""
    found = raised()
    by_noun: dict[str, dict[str, list[Raised]]] = defaultdict(lambda: defaultdict(list))
    for each in sorted(found, key=lambda each: (each.code, each.where)):
        by_noun[each.code.partition(".")[0]][each.code].append(each)
    kinds = sorted({(each.kind, each.status) for each in found}, key=lambda kind: (kind[1], kind[0]))
    intro = ("Every error has a stable code, `noun.problem`, which the API sends in the problem document and the trail "
             "records for an act that failed. The message and the way out are templates: what stands in braces is "
             "filled in. A `WorkloadError` is a fenced workload's. Status is what the API answers.")
    tables = [f"## {noun}\n\n{table(['Code', 'Kind', 'Status', 'Message', 'Way out'], map(_row, codes.values()))}"
              for noun, codes in by_noun.items()]
    statuses = table(["Kind", "Status"], [[code(name), str(status)] for name, status in kinds])
    return whole("Errors", intro, "## Kinds", statuses, *tables)


@cache
def raised() -> tuple[Raised, ...]:
    """Return every place in src that makes an error with a code."""
    trees = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "src").rglob("*.py"))}
    kinds, nouns = _kinds(list(trees.values())), _nouns(list(trees.values()))
    return tuple(each for path, tree in trees.items() for each in _in_file(path, tree, kinds, nouns))


def _row(places: list[Raised]) -> list[str]:
    first = places[0]
    messages = dict.fromkeys(place.message for place in places if place.message)
    fixes = dict.fromkeys(place.fix for place in places if place.fix)
    return [code(first.code), first.kind, str(first.status), "<br>".join(messages), "<br>".join(fixes)]


def _kinds(trees: list[ast.Module]) -> dict[str, Kind]:
    """Return the tree of error classes by name, with the status that each answers."""
    classes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found: dict[str, Kind] = {}
    for name in classes:
        line = list(_ancestry(name, classes))
        if "RingfenceError" in line:
            found[name] = Kind(name, next(status for each in line if (status := _status(classes[each]))))
        elif FENCED in line:
            found[name] = Kind(OUTSIDE, next(status for status in [_status(classes[OUTSIDE])] if status))
    return found


def _ancestry(name: str, classes: Mapping[str, ast.ClassDef]) -> Iterator[str]:
    while name in classes:
        yield name
        name = ast.unparse(classes[name].bases[0]).rpartition(".")[2] if classes[name].bases else ""


def _status(node: ast.ClassDef) -> int | None:
    for statement in node.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and target.id == "status":
            value: int = ast.literal_eval(statement.value)  # type: ignore[attr-defined]
            return value
    return None


def _nouns(trees: list[ast.Module]) -> set[str]:
    """Return the kinds of document that `ringfence.documents` reads: their names begin its errors' codes."""
    found = set()
    for tree in trees:
        constants = _constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("load", "documents.load", "Fields"):
                place = 0 if ast.unparse(node.func) == "Fields" else 1
                given = node.args[place] if len(node.args) > place else None
                value = constants.get(given.id) if isinstance(given, ast.Name) else getattr(given, "value", None)
                found |= {value} if isinstance(value, str) else set()
    return found


def _constants(tree: ast.Module) -> dict[str, Any]:
    return {target.id: node.value.value for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets if isinstance(target, ast.Name)}


def _in_file(path: Path, tree: ast.Module, kinds: Mapping[str, Kind], nouns: set[str]) -> Iterator[Raised]:
    where, template = path.relative_to(ROOT).as_posix(), Template(_constants(tree))
    for owner, node in _calls(tree):
        called = ast.unparse(node.func)
        name = owner if called == "super().__init__" else called.rpartition(".")[2]
        if name not in kinds or not node.args:
            continue
        message = template.of(node.args[1]) if len(node.args) > 1 else ""
        fix = next((template.of(given.value) for given in node.keywords if given.arg == "fix"), "")
        for each in _codes(node.args[0], nouns):
            noun = each.partition(".")[0]
            yield Raised(each, kinds[name].name, kinds[name].status, message.replace("{noun}", noun), fix, where)


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Return every call with the class that it stands in."""
    def visit(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.Call]]:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.Call):
                yield owner, inner
            yield from visit(inner, inner.name if isinstance(inner, ast.ClassDef) else owner)
    return visit(tree, "")


def _codes(node: ast.expr, nouns: set[str]) -> Iterator[str]:
    """Return the codes that a first argument can be; none for a code that came from elsewhere."""
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _codes(value, nouns)
    elif isinstance(node, ast.JoinedStr):
        ending = str(getattr(node.values[-1], "value", ""))
        yield from (f"{noun}{ending}" for noun in sorted(nouns))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


@dataclass(frozen=True)
class Template:
    """Turns the expression of a message into text: known `constants` as they are, and a name in braces for the rest."""

    constants: Mapping[str, Any]

    def of(self, node: ast.expr) -> str:
        """Return the text of a message."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.JoinedStr):
            return "".join(map(self.of, node.values))
        if isinstance(node, ast.BinOp):
            return self.of(node.left) + self.of(node.right)
        if isinstance(node, ast.IfExp):
            return " / ".join(filter(None, (self.of(node.body), self.of(node.orelse))))
        inner = node.value if isinstance(node, ast.FormattedValue) else node
        if isinstance(inner, ast.Name) and inner.id in self.constants:
            value = self.constants[inner.id]
            return f"{value:,}" if isinstance(value, int) else str(value)
        return f"{{{_name(inner)}}}"


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id.strip("_").lower()
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_").lower()
    if isinstance(node, ast.Subscript):
        return _literal(node.slice) or _name(node.value)
    if isinstance(node, ast.Call):
        return (_literal(node.args[0]) or _name(node.args[0])) if node.args else _name(node.func)
    return next((_name(inner) for inner in ast.walk(node) if isinstance(inner, ast.Name | ast.Attribute)), "value")


def _literal(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) and value.isidentifier() else ""
