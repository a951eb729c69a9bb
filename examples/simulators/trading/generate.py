"""Writes prices.csv: 3,000 days of a made-up asset with two moods, calm and falling. `python generate.py`"""

from __future__ import annotations

from pathlib import Path

import numpy as np

DAYS, SEED = 3000, 20260101
# Per mood: daily drift and volatility of the logarithmic price, and the chance to leave it.
MOODS = ((0.0008, 0.007, 0.015), (-0.0025, 0.016, 0.05))


def prices() -> np.ndarray:
    """Return the price of each day, from 100."""
    random, mood, log_price = np.random.default_rng(SEED), 0, [np.log(100.0)]
    for _ in range(DAYS - 1):
        drift, volatility, leaving = MOODS[mood]
        log_price.append(log_price[-1] + random.normal(drift, volatility))
        mood = 1 - mood if random.random() < leaving else mood
    return np.exp(log_price)


def main() -> None:
    """Write the file."""
    rows = [f"{day},{price:.4f}" for day, price in enumerate(prices())]
    Path(__file__).with_name("prices.csv").write_text("\n".join(["day,price", *rows]) + "\n")


if __name__ == "__main__":
    main()
