"""Small built-in dictionaries: common given names, surnames, cities, countries and regions of many places.

They recognise a column by the share of its values that they know, so they need not be complete.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import polars as pl

_FOLDER = Path(__file__).parent / "words"


@cache
def words(name: str) -> frozenset[str]:
    """Return the lower-case entries of one list: names are split at spaces, the others at bars and lines."""
    text = (_FOLDER / f"{name}.txt").read_text("utf-8").lower()
    entries = text.split() if name in {"given_names", "surnames"} else text.replace("\n", "|").split("|")
    return frozenset(entry for entry in entries if entry)


@cache
def vocabulary(section: str) -> frozenset[str]:
    """Return the entries of one section of `words/hints.txt`."""
    text = (_FOLDER / "hints.txt").read_text("utf-8")
    body = text.split(f"[{section}]\n", 1)[1].split("\n[", 1)[0]
    return frozenset(" ".join(entry.split()) for entry in body.split(",") if entry.strip())


def known(values: pl.Series, *lists: str) -> pl.Series:
    """Return which values (any case) stand in one of the lists."""
    entries = sorted(frozenset().union(*(words(name) for name in lists)))
    return values.str.to_lowercase().is_in(entries).fill_null(False)
