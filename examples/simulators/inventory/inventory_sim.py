"""Inventory control for many shelves at once: order in the evening, sell the next day."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

CAPACITY, MOST_ORDERED, MEAN_DEMAND, DAYS = 40, 20, 8.0, 100
PRICE, COST, ORDERING, HOLDING, MISSING = 1.0, 0.3, 0.4, 0.05, 0.5
SCALE = 0.1


class Shelves(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """`num_envs` shelves. Observation: units in stock; action: units to order; reward: the day's profit / 10.

    A quarter that ends (it is truncated, never terminated) is followed by a new one in the same step; the stock that it
    ended with stands in `infos["final_obs"]`.
    """

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own shape)

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space = spaces.Discrete(CAPACITY + 1)
        self.single_action_space = spaces.Discrete(MOST_ORDERED + 1)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._random = np.random.default_rng()
        self._stock, self._day = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a quarter on every shelf, with some stock; the same seed gives the same quarters."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self._stock = self._begin(self.num_envs)
        self._day[:] = 0
        return self._stock.copy(), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Deliver what was ordered, let a day's customers come, and count the profit."""
        delivered = np.minimum(np.asarray(actions), CAPACITY - self._stock)
        demand = self._random.poisson(MEAN_DEMAND, self.num_envs)
        sold = np.minimum(demand, self._stock + delivered)
        self._stock = self._stock + delivered - sold
        profit = (PRICE * sold - COST * delivered - ORDERING * (delivered > 0) - HOLDING * self._stock
                  - MISSING * (demand - sold))
        self._day += 1
        truncated, infos = self._day >= DAYS, {}
        if truncated.any():
            infos = {"final_obs": self._stock.copy(), "_final_obs": truncated}
            self._stock[truncated] = self._begin(int(truncated.sum()))
            self._day[truncated] = 0
        return self._stock.copy(), SCALE * profit, np.zeros(self.num_envs, bool), truncated, infos

    def _begin(self, count: int) -> Any:
        return self._random.integers(0, CAPACITY // 2 + 1, count)


def make(num_envs: int) -> Shelves:
    """Build `num_envs` shelves: what `entry_point` in simulator.yaml names."""
    return Shelves(num_envs)
