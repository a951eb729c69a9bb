"""How anonymous a table is: k over distinct subjects, what it costs, and what k says nothing about.

k-anonymity: Samarati and Sweeney, 1998. Rows of one person never count twice: a class of ten rows that belong to
one subject has size 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

# Beside the released columns, under names that none of them can have.
SUBJECT, EPISODE, STEP, ROW, SIZE = "\0subject", "\0episode", "\0step", "\0row", "\0size"


@dataclass(frozen=True)
class Anonymity:
    """What was measured on the result. Shares are of the input, risks are 1 / (size of the subject's class)."""

    k: int
    classes: int
    rows: int
    subjects: int
    suppressed_rows: int
    suppressed_share: float
    suppressed_subjects: int
    suppressed_subject_share: float
    worst_risk: float
    average_risk: float


def suppress(frame: pl.DataFrame, quasi: Sequence[str], k: int) -> pl.DataFrame:
    """Remove the rows of every class of `quasi` values with fewer than `k` distinct subjects.

    An episode (column EPISODE, where there is one) goes as a whole: one with a hole in it would teach a transition
    that never happened. That shrinks other classes, so it is repeated until nothing changes.
    """
    while frame.height:
        small = _sizes(frame, quasi).filter(pl.col(SIZE) < k)
        if small.is_empty():
            return frame
        out = frame.join(small, on=list(quasi), how="semi", nulls_equal=True) if quasi else frame
        key = EPISODE if EPISODE in frame.columns else ROW
        frame = frame.join(out.select(key).unique(), on=key, how="anti", nulls_equal=True)
    return frame


def measure(before: pl.DataFrame, after: pl.DataFrame, quasi: Sequence[str]) -> Anonymity:
    """Measure k on `after`, independently of how it was made, and what is missing from `before`."""
    sizes = _sizes(after, quasi)[SIZE]
    people, left = before[SUBJECT].n_unique(), after[SUBJECT].n_unique() if after.height else 0
    subjects_in_classes = int(sizes.sum())
    return Anonymity(
        k=int(sizes.min() or 0), classes=len(sizes), rows=after.height, subjects=left,
        suppressed_rows=before.height - after.height,
        suppressed_share=_share(before.height - after.height, before.height),
        suppressed_subjects=people - left, suppressed_subject_share=_share(people - left, people),
        worst_risk=1 / int(sizes.min()) if len(sizes) else 0.0,
        average_risk=_share(len(sizes), subjects_in_classes))


def singled_out(frame: pl.DataFrame, sequence: Sequence[str]) -> dict[str, Any]:
    """Count the subjects whose sequence of `sequence` values no other subject has: k promises nothing about it."""
    per = [SUBJECT, EPISODE] if EPISODE in frame.columns else [SUBJECT]
    order = [STEP] if STEP in frame.columns else []
    hashed = frame.sort(order, maintain_order=True).select(
        *per, pl.struct(sequence).hash(seed=0).cast(pl.String).alias("event"))
    lines = hashed.group_by(per, maintain_order=True).agg(pl.col("event").str.join(","))
    whole = lines.group_by(SUBJECT).agg(pl.col("event").sort().str.join(";"))
    alone = int((whole.group_by("event").len()["len"] == 1).sum())
    return {"columns": list(sequence), "subjects": whole.height, "singled_out": alone,
            "singled_out_share": _share(alone, whole.height)}


def _sizes(frame: pl.DataFrame, quasi: Sequence[str]) -> pl.DataFrame:
    size = pl.col(SUBJECT).n_unique().alias(SIZE)
    if quasi:
        return frame.group_by(list(quasi)).agg(size)
    return frame.select(size).filter(pl.col(SIZE) > 0)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
