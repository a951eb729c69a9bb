"""Trading on a price series: in or out of one asset. One environment; the platform hosts as many as a run asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

PRICES = Path(__file__).with_name("prices.csv")
SEEN, TREND, DAYS, FEE = 10, 50, 250, 0.1  # days, days, days, per cent
LARGEST = 100.0  # a day's return in per cent is cut off here


class Trading(gymnasium.Env[Any, Any]):
    """Observation: returns and their trend in per cent, the position, the share of the episode; action: out or in."""

    def __init__(self, prices: Path = PRICES) -> None:
        price = np.loadtxt(prices, delimiter=",", skiprows=1, usecols=1)
        self._returns = np.clip(np.diff(np.log(price)) * 100, -LARGEST, LARGEST)
        self._trend = np.convolve(self._returns, np.full(TREND, 1 / TREND), "valid")
        high = np.array([LARGEST] * (SEEN + 1) + [1, 1], np.float32)
        low = np.array([-LARGEST] * (SEEN + 1) + [0, 0], np.float32)
        self.observation_space, self.action_space = spaces.Box(low, high), spaces.Discrete(2)
        self._today, self._first, self._position = TREND, TREND, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin on a random day, out of the asset."""
        super().reset(seed=seed)
        self._first = self._today = int(self.np_random.integers(TREND, len(self._returns) - DAYS + 1))
        self._position = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Be out (0) or in (1) for a day; reward: its return less the fee of a change, in per cent."""
        changed, self._position = int(action) != self._position, int(action)
        reward = float(self._position * self._returns[self._today] - FEE * changed)
        self._today += 1
        return self._observation(), reward, False, self._today - self._first >= DAYS, {}

    def _observation(self) -> Any:
        known = self._returns[self._today - SEEN:self._today]
        trend, share = self._trend[self._today - TREND], (self._today - self._first) / DAYS
        return np.array([*known, trend, self._position, share], np.float32)


def make() -> Trading:
    """Build one environment: what `entry_point` in simulator.yaml names."""
    return Trading()
