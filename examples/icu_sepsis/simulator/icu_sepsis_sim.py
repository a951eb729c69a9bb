"""ICU-Sepsis for many patients at once: the dynamics of the `icu-sepsis` package over one shared set of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

TABLES = Path(__file__).with_name("tables.npz")
MAX_STEPS = 500  # the package's own time limit


class IcuSepsis(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """`num_envs` independent stays. Observation: the state, Discrete(716); action: the dose, Discrete(25).

    An action that clinicians hardly ever took in a state leads where their usual ones lead on average, as in the
    package. Reward 1 on reaching survival, else 0. A stay that ends is followed by a new one in the same step
    (gymnasium's AutoresetMode.SAME_STEP); the state it ended in stands in `infos["final_obs"]`.
    """

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own shape)

    def __init__(self, num_envs: int, tables: Path = TABLES) -> None:
        with np.load(tables, allow_pickle=False) as data:
            self._row_of, self._cumulative = data["row_of"], data["cumulative"]
            self._next_state, self._reward = data["next_state"].astype(np.int64), data["reward"]
            self._is_terminal, self._initial = data["is_terminal"], data["initial_cumulative"]
        self.num_envs = num_envs
        self.single_observation_space = spaces.Discrete(self._row_of.shape[0])
        self.single_action_space = spaces.Discrete(self._row_of.shape[1])
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._random = np.random.default_rng()
        self._state = np.zeros(num_envs, np.int64)
        self._steps = np.zeros(num_envs, np.int64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Admit a new patient in every place; the same seed gives the same patients."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self._state = self._admit(self.num_envs)
        self._steps[:] = 0
        return self._state.copy(), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Treat every patient with one of the 25 doses for four hours."""
        # Rows are laid end to end, row r between r and r + 1, so that one search serves every row.
        entry = np.searchsorted(self._cumulative, self._row_of[self._state, actions] + self._draw(self.num_envs),
                                side="right")
        state, rewards = self._next_state[entry], self._reward[entry]
        self._steps += 1
        terminated = self._is_terminal[state]
        truncated = (self._steps >= MAX_STEPS) & ~terminated
        done = terminated | truncated
        infos: dict[str, Any] = {}
        if done.any():
            infos = {"final_obs": state.copy(), "_final_obs": done}
            state[done] = self._admit(int(done.sum()))
            self._steps[done] = 0
        self._state = state
        return state.copy(), rewards, terminated, truncated, infos

    def _admit(self, count: int) -> Any:
        return np.searchsorted(self._initial, self._draw(count), side="right")

    def _draw(self, count: int) -> Any:
        # Short of 1 by more than a row's number can swallow, so that row + draw never reaches the next row.
        return self._random.random(count) * (1 - 2.0**-36)


def make(num_envs: int) -> IcuSepsis:
    """Build the simulator: what `entry_point` in simulator.yaml names."""
    return IcuSepsis(num_envs)
