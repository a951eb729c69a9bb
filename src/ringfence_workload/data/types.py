"""The types of a column of text: recognised from all of its values, and cast strictly."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from ringfence_workload.data.source import Source
from ringfence_workload.task import TaskError

# What people write for "no value" in a column of numbers, dates or booleans. In a column of text they stay words.
NO_VALUE = ("NA", "N/A", "n/a", "null", "NULL", "None", "NaN", "nan", "-")
DATE_FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d",
                "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")
DATETIME_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
                    "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")
TYPES = ("integer", "number", "boolean", "date", "datetime", "text")
_INTEGER = r"^[+-]?\d{1,18}$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_BOOLEAN = ("true", "false")
_PLAUSIBLE_YEARS = (1850, 2150)


def present(values: pl.Series) -> pl.Series:
    """Return the distinct values (as text, trimmed) that are not a word for "no value"."""
    distinct = values.drop_nulls().unique().str.strip_chars()
    return distinct.filter(~distinct.is_in(NO_VALUE) & (distinct != "")).unique()


def infer(distinct: pl.Series) -> str:
    """Return the narrowest type that every one of the distinct values (see `present`) has; `empty` for none."""
    if not len(distinct):
        return "empty"
    if _all_match(distinct, _INTEGER):
        return "date" if date_formats(distinct) else "integer"
    if _all_match(distinct, _NUMBER):
        return "number"
    if distinct.str.to_lowercase().is_in(_BOOLEAN).all():
        return "boolean"
    if date_formats(distinct):
        return "date"
    return "datetime" if datetime_formats(distinct) else "text"


def date_formats(distinct: pl.Series) -> list[str]:
    """Return every format in which all the values are dates of a plausible year (two, where day and month swap)."""
    return _formats(distinct, DATE_FORMATS, pl.Date, 6, 20)


def datetime_formats(distinct: pl.Series) -> list[str]:
    """Return every format in which all the values are dates with a time."""
    return _formats(distinct, DATETIME_FORMATS, pl.Datetime("us"), 12, 32)


def _formats(distinct: pl.Series, formats: tuple[str, ...], kind: object, shortest: int, longest: int) -> list[str]:
    lengths = distinct.str.len_chars()
    if not len(distinct) or int(lengths.min()) < shortest or int(lengths.max()) > longest:
        return []
    return [form for form in formats
            if _dates(distinct.head(50), form, kind) is not None and _dates(distinct, form, kind) is not None]


def _dates(distinct: pl.Series, form: str, kind: object) -> pl.Series | None:
    parsed = distinct.str.strptime(kind, form, strict=False)
    if parsed.null_count():
        return None
    low, high = _PLAUSIBLE_YEARS
    return parsed if parsed.dt.year().is_between(low, high).all() else None


def _all_match(distinct: pl.Series, pattern: str) -> bool:
    return bool(distinct.head(50).str.contains(pattern).all() and distinct.str.contains(pattern).all())


def cast(values: pl.Series, kind: str, source: Source) -> pl.Series:
    """Cast a column of text to `kind`; a word for "no value" becomes null.

    Raises:
        TaskError: `data.type_mismatch`, naming the column and the line of the first value that is not of that type.
    """
    if kind in {"text", "empty"}:
        return values
    text = values.str.strip_chars()
    text = text.set(text.is_in((*NO_VALUE, "")).fill_null(False), None)
    result = _CASTS[kind](text)
    wrong = result.is_null() & text.is_not_null()
    if wrong.any():
        raise _mismatch(values.name, kind, source.line(int(wrong.arg_max() or 0)))
    return result


def _mismatch(column: str, kind: str, line: int) -> TaskError:
    return TaskError("data.type_mismatch", f"Column {column!r} is declared {kind}, but line {line:,} holds another "
                     "kind of value.", field=column, value=f"line {line}",
                     fix="Correct the value, or declare the column's type as text.")


def _integers(text: pl.Series) -> pl.Series:
    return text.set(~text.str.contains(_INTEGER).fill_null(True), None).cast(pl.Int64, strict=False)


def _numbers(text: pl.Series) -> pl.Series:
    numbers = text.set(~text.str.contains(_NUMBER).fill_null(True), None).cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(True), None)


def _booleans(text: pl.Series) -> pl.Series:
    lower = text.str.to_lowercase()
    return lower.replace_strict({"true": True, "1": True, "false": False, "0": False}, default=None,
                                return_dtype=pl.Boolean)


def _calendar(find: Callable[[pl.Series], list[str]], kind: object) -> Callable[[pl.Series], pl.Series]:
    def parse(text: pl.Series) -> pl.Series:
        formats = find(text.drop_nulls().unique()) or ["%Y-%m-%d"]
        return text.str.strptime(kind, formats[0], strict=False)
    return parse


_CASTS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "integer": _integers, "number": _numbers, "boolean": _booleans,
    "date": _calendar(date_formats, pl.Date), "datetime": _calendar(datetime_formats, pl.Datetime("us")),
}
