"""CartPole for many carts at once: the dynamics of Gymnasium's CartPole-v1 over arrays."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02  # SI units
MAX_POSITION, MAX_ANGLE, MAX_STEPS = 2.4, 12 * 2 * np.pi / 360, 500
TOTAL, MOMENT = CART + POLE, POLE * HALF_LENGTH


def push(state: Any, actions: Any) -> Any:
    """Return the state (4, N) a TAU later: position, speed, angle, turning speed. Source: gymnasium's cartpole.py."""
    position, speed, angle, turning = state
    force = np.where(actions == 1, FORCE, -FORCE)
    cosine, sine = np.cos(angle), np.sin(angle)
    thrust = (force + MOMENT * np.square(turning) * sine) / TOTAL
    bend = (GRAVITY * sine - cosine * thrust) / (HALF_LENGTH * (4.0 / 3.0 - POLE * np.square(cosine) / TOTAL))
    return np.stack((position + TAU * speed, speed + TAU * (thrust - MOMENT * bend * cosine / TOTAL),
                     angle + TAU * turning, turning + TAU * bend))


class CartPoles(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """`num_envs` carts. One whose episode ends begins the next in the same step; see `infos["final_obs"]`."""

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own shape)

    def __init__(self, num_envs: int) -> None:
        high = np.array([MAX_POSITION * 2, np.inf, MAX_ANGLE * 2, np.inf], np.float32)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces.Box(-high, high), spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._random = np.random.default_rng()
        self._state, self._steps = np.zeros((4, num_envs)), np.zeros(num_envs, np.int64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Put every cart near the middle; the same seed gives the same places."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self._state = self._begin(self.num_envs)
        self._steps[:] = 0
        return self._observations(), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Push every cart to the left (0) or to the right (1) for .02 s."""
        self._state = push(self._state, np.asarray(actions))
        self._steps += 1
        terminated = (np.abs(self._state[0]) > MAX_POSITION) | (np.abs(self._state[2]) > MAX_ANGLE)
        truncated = (self._steps >= MAX_STEPS) & ~terminated
        ended, infos = terminated | truncated, {}
        if ended.any():
            infos = {"final_obs": self._observations(), "_final_obs": ended}
            self._state[:, ended] = self._begin(int(ended.sum()))
            self._steps[ended] = 0
        return self._observations(), np.ones(self.num_envs), terminated, truncated, infos

    def _begin(self, count: int) -> Any:
        return self._random.uniform(-0.05, 0.05, (4, count))

    def _observations(self) -> Any:
        return self._state.T.astype(np.float32)


def make(num_envs: int) -> CartPoles:
    """Build `num_envs` carts: what `entry_point` in simulator.yaml names."""
    return CartPoles(num_envs)
