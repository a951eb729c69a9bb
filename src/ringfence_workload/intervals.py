"""Means with their uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TWO_SIDED_95 = 1.959963984540054


def mean_interval(returns: NDArray[np.float64]) -> dict[str, Any]:
    """Return mean, ci_low, ci_high and episodes of (n,) independent returns: a normal 95% interval of the mean.

    Raises:
        ValueError: fewer than two returns, which say nothing of their spread.
    """
    if len(returns) < 2:
        raise ValueError(f"{len(returns)} returns have no spread to measure")
    mean = float(returns.mean())
    half = _TWO_SIDED_95 * float(returns.std(ddof=1)) / float(np.sqrt(len(returns)))
    return {"mean": mean, "ci_low": mean - half, "ci_high": mean + half, "episodes": len(returns)}
