"""Detectors of quasi-identifiers, and what is left: dates, numbers, categories."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable

import polars as pl

from ringfence_workload.data.column import Column, Match
from ringfence_workload.data.dictionary import known, vocabulary
from ringfence_workload.data.types import date_formats, datetime_formats

_SEXES, _TELLING = vocabulary("sexes"), (vocabulary("male"), vocabulary("female"))
_POSTCODES = (r"^[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}$", r"^[A-Z]\d[A-Z] ?\d[A-Z]\d$", r"^\d{5}-\d{4}$",
              r"^\d{4} [A-Z]{2}$", r"^\d{2}-\d{3}$", r"^\d{5}-\d{3}$")


def date_of_birth(column: Column) -> Match | None:
    """Dates (or years) of birth: by name, or by how far back and how unordered they are."""
    years = _years(column)
    if years is None or not len(years):
        return None
    if column.hinted("DATE_OF_BIRTH"):
        return Match("DATE_OF_BIRTH", 0.97, "the name says so, and the values are dates or years")
    if column.kind != "date":
        return None
    low, high = float(years.quantile(0.05) or 0), float(years.quantile(0.95) or 0)
    if low < 1965 and high - low > 25 and int(years.max() or 0) <= datetime.date.today().year and _shuffled(column):
        return Match("DATE_OF_BIRTH", 0.6, "the dates lie decades apart, as dates of birth do, and in no order")
    return None


def age(column: Column) -> Match | None:
    """Ages in years."""
    if not column.hinted("AGE"):
        return None
    numbers = column.sample.str.extract(r"^(\d{1,3})(?:\.\d+)?\+?$").cast(pl.Int64, strict=False)
    fits = float(numbers.is_between(0, 120).fill_null(False).mean() or 0)
    bands = column.share(r"^\d{1,3} ?(?:-|to|–) ?\d{1,3}$|^[<>]=? ?\d{1,3}$|^\d{1,3}\+$")
    return Match("AGE", 0.93, "the name says so, and the values lie between 0 and 120") if fits + bands > 0.9 else None


def sex(column: Column) -> Match | None:
    """Sex or gender."""
    if not 1 <= len(column.distinct) <= 12:
        return None
    values = set(column.distinct.str.to_lowercase())
    fits = len(values & _SEXES) / len(values)
    if column.hinted("SEX") and (fits >= 0.5 or len(values) <= 6):
        return Match("SEX", 0.96, "the name says so, and there are few different values")
    if fits == 1 and all(values & telling for telling in _TELLING):
        return Match("SEX", 0.85, "the values are words for the sexes")
    return None


def postcode(column: Column) -> Match | None:
    """Postal codes."""
    form = r"^(?i)[A-Z]{0,2}[ -]?\d[0-9A-Z -]{1,8}(?:\.0)?$|^[A-Z]{1,2}\d"
    if column.hinted("POSTCODE") and column.share(form) > 0.8:
        return Match("POSTCODE", 0.95, "the name says so, and the values look like codes")
    if len(column.sample) >= 5 and max(column.share(pattern) for pattern in _POSTCODES) > 0.95:
        return Match("POSTCODE", 0.8, "the values have the form of one country's postal codes")
    return None


def place(column: Column) -> Match | None:
    """Cities, countries and regions."""
    if not column.is_text or column.share(r"^[\p{L}][\p{L}'’. ,()/\-]*$") < 0.7 or column.share(r".{60}") > 0.1:
        return None
    shares = {kind: float(known(column.sample, entries).mean() or 0)
              for kind, entries in (("CITY", "cities"), ("COUNTRY", "countries"), ("GEO", "regions"))}
    for kind in ("COUNTRY", "CITY"):
        if column.hinted(kind) and not column.hinted("NAME", "PERSON_NAME"):
            return Match(kind, 0.92, "the name says so, and the values are words")
    if column.hinted("REGION") and (shares["GEO"] > 0.5 or not {"state", "area"} & set(column.name.lower().split("_"))):
        return Match("GEO", 0.85, "the name says a region, and the values are words")
    kind = max(shares, key=lambda name: shares[name])
    least = {"CITY": 0.35, "COUNTRY": 0.4, "GEO": 0.9}[kind]
    if shares[kind] > least and len(column.sample) >= 4:
        return Match(kind, 0.8, f"{shares[kind]:.0%} of the different values are known places")
    return None


def geo(column: Column) -> Match | None:
    """Coordinates."""
    if column.is_text and column.share(r"^\(?-?\d{1,2}\.\d{2,}[,; ] ?-?\d{1,3}\.\d{2,}\)?$") > 0.9:
        return Match("GEO", 0.93, "the values are pairs of coordinates")
    if not column.hinted("GEO") or column.kind != "number":
        return None
    numbers = column.sample.cast(pl.Float64, strict=False)
    return Match("GEO", 0.93, "the name says so, and the values lie within 180 degrees") if bool(
        numbers.is_between(-180, 180).all()) else None


def remaining(column: Column) -> Match:
    """What is left when nobody recognised the column: DATE, NUMERIC, CATEGORICAL or NONE."""
    if column.kind in {"date", "datetime"}:
        return Match("DATE", 0.95, "the values are dates that look like no one's birth")
    if column.kind in {"integer", "number"}:
        return Match("NUMERIC", 0.9, "the values are numbers that obey no rule of an identifier")
    if column.kind == "boolean":
        return Match("CATEGORICAL", 0.95, "the values are true and false")
    if column.is_text and len(column.distinct) <= max(12, min(200, math.isqrt(column.rows))):
        return Match("CATEGORICAL", 0.85, f"{len(column.distinct)} different values in {column.rows:,} rows")
    return Match("NONE", 0.9 if column.kind == "empty" else 0.7,
                 "no values" if column.kind == "empty" else "the values have no form that identifies people")


def _years(column: Column) -> pl.Series | None:
    if column.kind == "date":
        return column.sample.str.strptime(pl.Date, date_formats(column.distinct)[0], strict=False).dt.year()
    if column.kind == "datetime":
        found = datetime_formats(column.distinct)
        return column.sample.str.strptime(pl.Datetime("us"), found[0], strict=False).dt.year()
    years = column.sample.cast(pl.Int64, strict=False)
    return years if column.kind == "integer" and bool(years.is_between(1880, 2100).all()) else None


def _shuffled(column: Column) -> bool:
    """Say whether the file has the dates in no order: a log or a price series has one."""
    form = date_formats(column.distinct)[0]
    dates = column.raw.head(5_000).str.strptime(pl.Date, form, strict=False).drop_nulls().unique(maintain_order=True)
    rising = float((dates.diff().drop_nulls() > datetime.timedelta(0)).mean() or 0) if len(dates) > 1 else 1.0
    return 0.2 < rising < 0.8


def detect(column: Column) -> list[Match]:
    """Ask every detector that can find something in a column of this type."""
    asked: list[Callable[[Column], Match | None]] = [sex, date_of_birth, age, geo]
    if column.hinted("POSTCODE") or not column.is_short_number:
        asked += [postcode, place]
    return [match for ask in asked if (match := ask(column))]
