"""CartPole for many carts at once: gymnasium's dynamics (Euler, float64), SAME_STEP autoreset. A bench's simulator."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
MAX_POSITION, MAX_ANGLE, MAX_STEPS = 2.4, 12 * 2 * np.pi / 360, 500
TOTAL, MOMENT = CART + POLE, POLE * HALF_LENGTH


class CartPoles(gymnasium.vector.VectorEnv):
    """`num_envs` carts; state (4, num_envs): position, speed, angle, turning speed."""

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int) -> None:
        high = np.array([MAX_POSITION * 2, np.inf, MAX_ANGLE * 2, np.inf], np.float32)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces.Box(-high, high), spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._random = np.random.default_rng()
        self._steps, self._rewards = np.zeros(num_envs, np.int64), np.ones(num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Put every cart near the middle."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self._state = self._random.uniform(-0.05, 0.05, (4, self.num_envs))
        self._steps[:] = 0
        return self._state.T.astype(np.float32), {}

    def step(self, actions: Any) -> Any:
        """Push every cart to the left (0) or to the right (1)."""
        position, speed, angle, turning = self._state
        force = np.where(actions == 1, FORCE, -FORCE)
        cosine, sine = np.cos(angle), np.sin(angle)
        push = (force + MOMENT * turning * turning * sine) / TOTAL
        bend = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE * cosine * cosine / TOTAL))
        self._state = np.stack((position + TAU * speed, speed + TAU * (push - MOMENT * bend * cosine / TOTAL),
                                angle + TAU * turning, turning + TAU * bend))
        self._steps += 1
        terminated = (np.abs(self._state[0]) > MAX_POSITION) | (np.abs(self._state[2]) > MAX_ANGLE)
        truncated = self._steps >= MAX_STEPS
        ended, infos = terminated | truncated, {}
        if ended.any():
            infos = {"final_obs": self._state.T.astype(np.float32), "_final_obs": ended}
            self._state[:, ended] = self._random.uniform(-0.05, 0.05, (4, int(ended.sum())))
            self._steps[ended] = 0
        return self._state.T.astype(np.float32), self._rewards, terminated, truncated, infos


def make(num_envs: int) -> CartPoles:
    """Build the simulator."""
    return CartPoles(num_envs)
