"""Intervals cover what they claim to."""

from __future__ import annotations

import numpy as np
import pytest

from ringfence_workload.intervals import mean_interval


def test_the_interval_is_the_textbooks() -> None:
    returns = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    interval = mean_interval(returns)
    half = 1.959964 * returns.std(ddof=1) / np.sqrt(5)
    assert interval == {"mean": pytest.approx(0.6), "ci_low": pytest.approx(0.6 - half),
                        "ci_high": pytest.approx(0.6 + half), "episodes": 5}


def test_95_in_100_intervals_hold_the_truth() -> None:
    draws = np.random.default_rng(1).random((2000, 400)) < 0.8
    intervals = [mean_interval(row.astype(float)) for row in draws]
    covered = sum(interval["ci_low"] <= 0.8 <= interval["ci_high"] for interval in intervals) / 2000
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_returns_have_no_interval(count: int) -> None:
    with pytest.raises(ValueError, match="no spread"):
        mean_interval(np.ones(count))
