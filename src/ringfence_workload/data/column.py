"""What the detectors of classification see of a column."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ringfence_workload.data import hints
from ringfence_workload.data.types import infer, present

SAMPLE = 4_000


@dataclass(frozen=True)
class Match:
    """What a detector found: a type, how sure it is (0 to 1), and why, without any value."""

    type: str
    confidence: float
    why: str


@dataclass(frozen=True)
class Column:
    """One column: its distinct values (text, trimmed), at most SAMPLE of them evenly spread, and what its name hints.

    `rows` counts the values that are there; `kind` is the inferred type of all of them; `longest` is in characters.
    """

    name: str
    hints: frozenset[str]
    rows: int
    kind: str
    distinct: pl.Series
    sample: pl.Series
    raw: pl.Series
    longest: int

    @classmethod
    def of(cls, values: pl.Series) -> Column:
        """Profile a column of text."""
        distinct = present(values).sort()
        step = max(1, len(distinct) // SAMPLE)
        return cls(values.name, hints.hints(values.name), len(values) - values.null_count(), infer(distinct), distinct,
                   distinct.gather_every(step), values, int(distinct.str.len_chars().max() or 0))

    def share(self, pattern: str) -> float:
        """Return the share of the sampled distinct values that match a regular expression."""
        return float(self.sample.str.contains(pattern).mean() or 0.0) if len(self.sample) else 0.0

    def hinted(self, *kinds: str) -> bool:
        """Say whether the name hints at one of the types."""
        return not self.hints.isdisjoint(kinds)

    @property
    def is_short_number(self) -> bool:
        """Say whether the values are numbers of fewer digits than any number plan has."""
        return self.kind in {"integer", "number"} and self.longest < 7

    @property
    def is_text(self) -> bool:
        """Say whether the values are neither numbers, dates nor booleans."""
        return self.kind == "text"


def shape(values: pl.Series) -> str:
    """Return the most common form of the values: 9 for a digit, A and a for letters, the rest as it is."""
    forms = (values.head(200).str.slice(0, 40).str.replace_all(r"\p{Lu}", "A").str.replace_all(r"\p{Ll}", "a")
             .str.replace_all(r"[^\x00-\x7f]", "a").str.replace_all(r"\d", "9").str.replace_all(r"\s+", " "))
    return str(forms.alias("form").value_counts(sort=True)[0, 0]) if len(forms) else ""
