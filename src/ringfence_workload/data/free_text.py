"""Free text: does a column of sentences hold identifiers, or another column's values?"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ringfence_workload.data.column import Column, Match
from ringfence_workload.data.detect_identifiers import EMAIL
from ringfence_workload.data.dictionary import words

LINKED_ROWS = 20_000
NAMES = "a given name and a surname"
_MARKS: tuple[tuple[str, str, str], ...] = (
    ("an e-mail address", "@", EMAIL),
    ("a US Social Security number", "-", r"\b\d{3}-\d{2}-\d{4}\b"),
    ("a phone number", "",
     r"(?:^|[^\w.])(?:\+\d{1,3}[ .-]?\(?\d|\(\d{3}\) ?\d{3}[ .-]|\d{3}[.-]\d{3}[.-]\d{4})[\d ().-]*"),
    ("a medical record number", "", r"(?i)\b(?:mrn|patient (?:id|no))[:# ]{1,3}[A-Z]{0,3}\d{4,}"),
    ("a person with a title", ".", r"\b(?:Mr|Mrs|Ms|Dr)\. \p{Lu}\p{Ll}+"),
)


def is_long(column: Column) -> bool:
    """Say whether the values are sentences: several words, and rarely the same twice."""
    if not column.is_text:
        return False
    count = column.sample.str.count_matches(r"\s+") + 1
    return bool(float(count.mean() or 0) >= 5 and float(column.sample.str.len_chars().mean() or 0) >= 28
                and len(column.distinct) > min(50, 0.3 * column.rows))


def embedded(column: Column) -> tuple[float, str]:
    """Return the largest share of all different values that hold one kind of identifier, and which kind."""
    best = (0.0, "")
    if not column.is_text or float(column.sample.str.len_chars().max() or 0) < 12:
        return best
    for what, gate, pattern in _MARKS:
        values = column.distinct.filter(column.distinct.str.contains(gate, literal=True)) if gate else column.distinct
        hits = int(values.str.contains(pattern).sum())
        best = max(best, (hits / max(1, len(column.distinct)), what))
    return max(best, (_named(column), NAMES))


def _named(column: Column) -> float:
    pairs = column.sample.str.extract_all(r"\p{Lu}\p{Ll}+ \p{Lu}\p{Ll}+")
    pairs = pairs.list.explode(keep_nulls=False, empty_as_null=False)
    if not len(pairs):
        return 0.0
    lower = pairs.str.to_lowercase()
    first, last = lower.str.extract(r"^(\S+)"), lower.str.extract(r"(\S+)$")
    both = first.is_in(sorted(words("given_names"))) & last.is_in(sorted(words("surnames")))
    return float(both.sum()) / len(column.sample)


def free_text(column: Column) -> Match | None:
    """Recognise free text, and short values in which an identifier stands among other words."""
    long = is_long(column)
    share, what = embedded(column)
    if long and share > 0:
        return Match("FREE_TEXT", 0.95, f"sentences, of which {share:.1%} hold {what}")
    if long:
        return Match("FREE_TEXT", 0.6, "sentences in which no identifier was found; nobody can be sure there is none")
    if share > (0.05 if what == NAMES else 0.005):
        return Match("FREE_TEXT", 0.85, f"{share:.1%} of the different values hold {what}")
    return None


def linked(column: Column, identifiers: Sequence[tuple[str, Column]]) -> Match | None:
    """Recognise a column that repeats, alone or among other words, an identifier that the same row holds."""
    mine = column.raw.head(LINKED_ROWS)
    for kind, other in identifiers:
        theirs = other.raw.head(LINKED_ROWS).str.strip_chars()
        told = theirs.str.len_chars().fill_null(0) >= 5
        if not told.any() or other.name == column.name:
            continue
        rows = pl.DataFrame({"mine": mine, "theirs": theirs}).filter(told)
        same = float((rows["mine"] == rows["theirs"]).mean() or 0)
        if same > 0.5 and len(other.distinct) > 20:
            return Match(kind, 0.9, f"{same:.0%} of the rows repeat the column {other.name!r}")
        if not column.is_text:
            continue
        half = rows.height // 2  # far enough: neighbouring rows often belong to one person
        moved = pl.concat([rows["theirs"].tail(half), rows["theirs"].head(rows.height - half)])
        hits, chance = _within(rows["mine"], rows["theirs"]), _within(rows["mine"], moved)
        if hits >= max(3 if rows.height > 100 else 1, 0.0005 * rows.height) and hits > 3 * chance:
            share = hits / rows.height
            return Match("FREE_TEXT", 0.97, f"{share:.1%} of the rows hold their own {kind} ({other.name!r})")
    return None


def _within(texts: pl.Series, parts: pl.Series) -> int:
    """Count the rows whose text holds their part; with parts that were moved, that is what chance does."""
    frame = pl.DataFrame({"text": texts, "part": parts}).filter(pl.col("part").str.len_chars() > 0)
    return int(frame.select(pl.col("text").str.contains(pl.col("part"), literal=True).sum()).item() or 0)
