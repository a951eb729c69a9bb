"""What becomes of each column: one representation of our own, and what each action does to a column of text.

A declaration's `columns` maps a column to an action, or to {"action", "as", ...}: see `Rule`. A column that it does
not name is dropped. The rules know nothing of the engine's plans: a second engine compiles the same `Rule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from ringfence_workload.data import tokens
from ringfence_workload.data.source import Source
from ringfence_workload.data.types import cast, date_formats, infer, present
from ringfence_workload.task import TaskError

LATER = ("tokenise", "shift_dates", "redact_text", "redact")
SUPPORTED = ("drop", "keep", "pseudonymise", "hash", "generalise", "round", "suppress")
# These leave a person's value, or a part of it, readable.
READABLE = ("keep", "generalise", "round", "suppress")


@dataclass(frozen=True)
class Rule:
    """One declared column. `name` is the output column's (`as`).

    type: keep, round, suppress: the type to cast to (default: what all the values are).
    to: generalise a date to its `year`, `decade` or `month`. width: generalise a number to a multiple below it.
    digits: round to that many decimals. below: suppress values held by fewer distinct subjects than that
    (default: the declared k). format: how the dates are written, where the values leave it open.
    """

    column: str
    action: str
    name: str
    type: str = ""
    to: str = ""
    width: float = 0.0
    digits: int = 0
    below: int = 0
    format: str = ""


@dataclass(frozen=True)
class Context:
    """What actions need besides the column: key of the token scope, the file, its subjects and the declared k."""

    scope: bytes
    source: Source
    subjects: pl.Series
    k: int


def rules_of(declaration: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Return the declaration's rules that yield an output column, in its order.

    Raises:
        TaskError: `data.rule_unsupported`; `data.column_twice`, where two rules yield one output column.
    """
    found: dict[str, Rule] = {}
    for column, body in declaration["columns"].items():
        rule = _rule(column, {"action": body} if isinstance(body, str) else body)
        if rule.action == "drop":
            continue
        if rule.name in found:
            raise TaskError("data.column_twice", f"Two columns would be called {rule.name!r}.", field=column,
                            value=rule.name, fix="Give one of them another name with `as`.")
        found[rule.name] = rule
    return tuple(found.values())


def _rule(column: str, body: Mapping[str, Any]) -> Rule:
    action = str(body.get("action", ""))
    if action not in SUPPORTED:
        known = "is not supported yet" if action in LATER else "is not known"
        raise TaskError("data.rule_unsupported", f"Column {column!r}: the action {action!r} {known}.", field=column,
                        value=action, fix=f"Use one of: {', '.join(SUPPORTED)}.")
    return Rule(column, action, str(body.get("as") or column), str(body.get("type", "")), str(body.get("to", "")),
                float(body.get("width", 0)), int(body.get("digits", 0)), int(body.get("below", 0)),
                str(body.get("format", "")))


def apply(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    """Return the output column of one rule, for a column of text.

    Raises:
        TaskError: `data.type_mismatch`, `data.not_a_date`, `data.not_a_number`, `data.date_ambiguous`.
    """
    return _ACTIONS[rule.action](rule, values, context).alias(rule.name)


def _keep(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    return cast(values, rule.type or infer(present(values)), context.source)


def _pseudonymise(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    return tokens.tokens(values, context.scope, f"pseudonymise:{rule.name}")


def _hash(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    """A token of this file only: the same value has another one in the next file, so versions can't be linked."""
    return tokens.tokens(values, context.scope, f"hash:{rule.name}:{context.source.digest.hex()}")


def _generalise(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    return _generalise_date(rule, values, context) if rule.to else _generalise_number(rule, values, context)


def _generalise_date(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    dates = _dates(rule, values)
    year = dates.dt.year().cast(pl.Int64)
    if rule.to == "year":
        return year
    if rule.to == "decade":
        return year // 10 * 10
    if rule.to == "month":
        return dates.dt.strftime("%Y-%m")
    raise TaskError("data.rule_unsupported", f"Column {rule.column!r}: a date can't be generalised to {rule.to!r}.",
                    field=rule.column, value=rule.to, fix="Use year, decade or month.")


def _dates(rule: Rule, values: pl.Series) -> pl.Series:
    distinct = present(values)
    formats = [rule.format] if rule.format else date_formats(distinct)
    if len(formats) > 1 and rule.to == "month":
        raise TaskError("data.date_ambiguous", f"Column {rule.column!r}: day and month can't be told apart.",
                        field=rule.column, fix=f"Declare its `format`, for example {formats[0]!r}.")
    if not formats and len(distinct):
        raise _no_date(rule)
    parsed = values.str.strip_chars().str.strptime(pl.Date, formats[0] if formats else "%Y", strict=False)
    if parsed.drop_nulls().is_empty() != distinct.is_empty() or _lost(values, parsed):
        raise _no_date(rule)
    return parsed


def _lost(values: pl.Series, parsed: pl.Series) -> bool:
    return bool(len(present(values.filter(parsed.is_null()))))


def _no_date(rule: Rule) -> TaskError:
    return TaskError("data.not_a_date", f"Column {rule.column!r} holds values that are not dates of one format.",
                     field=rule.column, fix="Declare its `format` (as in %d/%m/%Y), or drop it.")


def _generalise_number(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    if not rule.width > 0 or not math.isfinite(rule.width):
        raise TaskError("data.rule_unsupported", f"Column {rule.column!r}: generalise needs `to` or `width`.",
                        field=rule.column, fix="Say `to: year` for a date, or `width: 10` for a number.")
    numbers = _numbers(rule, values, context)
    if numbers.dtype == pl.Int64 and rule.width == int(rule.width):
        return numbers // int(rule.width) * int(rule.width)
    return (numbers.cast(pl.Float64) / rule.width).floor() * rule.width


def _numbers(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    kind = rule.type or infer(present(values))
    if kind not in {"integer", "number", "empty"}:
        raise TaskError("data.not_a_number", f"Column {rule.column!r} holds values that are not numbers.",
                        field=rule.column, fix="Use another action for this column.")
    return cast(values, "number" if kind == "empty" else kind, context.source)


def _round(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    return _numbers(rule, values, context).cast(pl.Float64).round(rule.digits)


def _suppress(rule: Rule, values: pl.Series, context: Context) -> pl.Series:
    table = pl.DataFrame({"value": values, "subject": context.subjects})
    counts = table.group_by("value").agg(pl.col("subject").n_unique().alias("held"))
    rare = counts.filter(pl.col("held") < (rule.below or context.k))["value"].drop_nulls()
    kept = values.set(values.is_in(rare.implode()).fill_null(False), None)
    return cast(kept, rule.type or infer(present(kept)), context.source)


_ACTIONS: dict[str, Callable[[Rule, pl.Series, Context], pl.Series]] = {
    "keep": _keep, "pseudonymise": _pseudonymise, "hash": _hash, "generalise": _generalise, "round": _round,
    "suppress": _suppress,
}
