"""Ids are unique, sort by time, and are safe as names of objects."""

from __future__ import annotations

import time

import pytest

from ringfence.storage.blobs import require_name
from ringfence.storage.ids import new_id


def test_an_id_is_its_kind_and_twelve_characters() -> None:
    kind, _, rest = new_id("run").partition("-")
    assert kind == "run" and len(rest) == 12 and rest.isalnum() and not set(rest) & set("ilou")
    assert require_name(f"run/{new_id('run')}")


def test_later_ids_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.time_ns()]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    ids = []
    for step in (0, 1_000_000, 5_000_000, 10**9, 10**12, 10**16, 5 * 10**17):
        now[0] += step
        ids.append(new_id("x"))
    assert ids == sorted(ids) and len(set(ids)) == len(ids)


def test_ids_made_together_differ() -> None:
    assert len({new_id("x") for _ in range(8)}) == 8  # of 20 random bits each: equal once in 37,000 runs at most
