"""A dataset's declaration: what a steward writes, validated into frozen values, each mistake named with its way out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.documents import Fields, load

# What each action takes beside `action` and `as`.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "drop": (), "keep": ("type",), "pseudonymise": (), "hash": (), "generalise": ("to", "width", "type", "format"),
    "round": ("digits", "type"), "suppress": ("below", "type"),
}
# Words of the declaration language that this version does not know how to do.
LATER = ("tokenise", "shift_dates", "redact_text")
# These leave a value, or a part of it, readable.
READABLE = frozenset({"keep", "generalise", "round", "suppress"})
TYPES = ("integer", "number", "boolean", "date", "datetime", "text")
DATES = ("year", "decade", "month")
MAX_COLUMNS = 16_384


@dataclass(frozen=True)
class ColumnRule:
    """What becomes of one column. `name` is the output column's, `options` what its action takes."""

    column: str
    action: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the rule as the fence and the API know it."""
        return {"action": self.action, "as": self.name, **self.options}


@dataclass(frozen=True)
class Anonymity:
    """What is demanded of the result: k distinct subjects in every class of the quasi-identifiers."""

    k: int
    quasi_identifiers: tuple[str, ...]
    max_suppressed_share: float


@dataclass(frozen=True)
class Declaration:
    """What a dataset is for, and what becomes of each column. A column that does not stand here is dropped."""

    name: str
    purpose: str
    residency: str
    subject: str
    trajectory: Mapping[str, str]
    anonymity: Anonymity
    columns: tuple[ColumnRule, ...]
    text: str

    @property
    def outputs(self) -> tuple[ColumnRule, ...]:
        """Return the rules that yield a column of the result, in the declaration's order."""
        return tuple(rule for rule in self.columns if rule.action != "drop")

    @property
    def digest(self) -> str:
        """Return the digest of the declaration's values (not of their layout)."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the declaration as the fence and the API know it."""
        return {"name": self.name, "purpose": self.purpose, "residency": self.residency, "subject": self.subject,
                "trajectory": dict(self.trajectory),
                "anonymity": {"k": self.anonymity.k, "quasi_identifiers": list(self.anonymity.quasi_identifiers),
                              "max_suppressed_share": self.anonymity.max_suppressed_share},
                "columns": {rule.column: rule.as_json() for rule in self.columns}}


def parse(text: str) -> Declaration:
    """Read a declaration in YAML.

    Raises:
        InvalidError: `declaration.unreadable`, `.missing` or `.invalid`; `field` is the path of what is wrong.
    """
    top = load(text, "declaration")
    if (kind := top.text("kind")) != "Dataset":
        raise top.wrong("kind", kind, "is not Dataset", "Write kind: Dataset.")
    columns = _columns(top)
    declaration = Declaration(
        name=top.name("name"), purpose=top.text("purpose"), residency=top.text("residency"),
        subject=top.text("subject"), trajectory=_trajectory(top),
        anonymity=_anonymity(top.fields("anonymity"), columns), columns=columns, text=text)
    if top.has("description"):
        top.text("description", 2000)
    top.require_all_used()
    _require_hidden_subject(top, declaration)
    return declaration


def _trajectory(top: Fields) -> dict[str, str]:
    if not top.has("trajectory"):
        return {}
    fields = top.fields("trajectory")
    found = {role: fields.text(role) for role in ("episode", "step") if fields.has(role)}
    fields.require_all_used()
    return found


def _anonymity(fields: Fields, columns: tuple[ColumnRule, ...]) -> Anonymity:
    share = fields.number("max_suppressed_share", 0, 1) if fields.has("max_suppressed_share") else 1.0
    found = Anonymity(fields.integer("k", 1, 1_000_000), fields.texts("quasi_identifiers"), share)
    fields.require_all_used()
    outputs = {rule.name: rule for rule in columns if rule.action != "drop"}
    for name in found.quasi_identifiers:
        if name not in outputs:
            source = next((rule for rule in columns if rule.column == name), None)
            fix = (f"Use the output column's name: {source.name}." if source and source.action != "drop"
                   else f"The output columns are: {', '.join(outputs)}.")
            raise fields.wrong("quasi_identifiers", name, "is not a column of the result", fix)
        if outputs[name].action not in READABLE:
            raise fields.wrong("quasi_identifiers", name, "is a token, which identifies nobody",
                               "Name the columns that stay readable.")
    return found


def _columns(top: Fields) -> tuple[ColumnRule, ...]:
    bodies = top.mapping("columns")
    if len(bodies) > MAX_COLUMNS:
        raise top.wrong("columns", len(bodies), "is too many columns", f"Declare at most {MAX_COLUMNS:,}.")
    columns = tuple(_column(top, column, body) for column, body in bodies.items())
    seen: dict[str, str] = {}
    for rule in columns:
        if rule.action == "drop":
            continue
        if rule.name in seen:
            raise top.wrong(f"columns.{rule.column}", rule.name, f"is the name of {seen[rule.name]}'s result already",
                            "Give one of them another name with as:.")
        seen[rule.name] = rule.column
    if not seen:
        raise top.wrong("columns", "", "drops every column", "Keep, generalise or pseudonymise at least one.")
    return columns


def _column(top: Fields, column: str, body: Any) -> ColumnRule:
    path = f"columns.{column}"
    if isinstance(body, str):
        body = {"action": body}
    if not isinstance(body, Mapping):
        raise top.wrong(path, body, "is neither an action nor a mapping", f"Write {column}: drop, or {{action: ...}}.")
    fields = Fields("declaration", body, path)
    action = body.get("action")
    if action in LATER:
        raise fields.wrong("action", action, "is not supported yet", f"Use one of: {', '.join(OPTIONS)}.")
    action = fields.one_of("action", OPTIONS)
    name = fields.text("as", 100) if fields.has("as") else column
    options = {option: _OPTION_READERS[option](fields) for option in OPTIONS[action] if fields.has(option)}
    fields.require_all_used()
    if action == "generalise" and len({"to", "width"} & set(options)) != 1:
        raise fields.wrong("action", action, "needs either to or width",
                           "Say to: year (or decade, month) for a date, width: 10 for a number.")
    return ColumnRule(column, action, name, options)


_OPTION_READERS = {
    "type": lambda fields: fields.one_of("type", TYPES), "to": lambda fields: fields.one_of("to", DATES),
    "width": lambda fields: fields.number("width", 1e-9, 1e15), "format": lambda fields: fields.text("format", 40),
    "digits": lambda fields: fields.integer("digits", 0, 15),
    "below": lambda fields: fields.integer("below", 1, 1_000_000),
}


def _require_hidden_subject(top: Fields, declaration: Declaration) -> None:
    """Refuse to leave the column that tells people apart readable."""
    rule = next((rule for rule in declaration.columns if rule.column == declaration.subject), None)
    if rule and rule.action in READABLE:
        raise top.wrong(f"columns.{rule.column}", rule.action, "would show whom each row is about",
                        "Pseudonymise or drop the subject's column.")
