"""The simulator channel as the vector environment that Stable-Baselines3 wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from ringfence_workload.wire.channel import ChannelClient
from ringfence_workload.wire.spaces import SpaceSpec, discrete, to_gymnasium


class ChannelVecEnv(VecEnv):  # type: ignore[misc]
    """N environments over one channel; Discrete spaces are numbered from 0 towards the library.

    Keeps the returns and lengths of the episodes that ended; `take_episodes` hands them over.
    """

    def __init__(self, client: ChannelClient) -> None:
        self._client, self._count = client, client.num_envs
        self._running, self._length = np.zeros(self._count), np.zeros(self._count, np.int64)
        self._returns: list[float] = []
        self._lengths: list[int] = []
        self._actions: Any = None
        super().__init__(self._count, to_gymnasium(from_zero(client.observation)),
                         to_gymnasium(from_zero(client.action)))

    def reset(self) -> NDArray[Any]:
        """Start all episodes afresh, from the seed that `seed` set, if any."""
        observations = self._client.reset(self._seeds[0])
        self._reset_seeds()
        self._running[:], self._length[:] = 0, 0
        return self._shifted(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`: the channel works in lockstep."""
        self._actions = actions + self._client.action.start

    def step_wait(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step all environments."""
        batch = self._client.step(self._actions)
        done = batch.terminated | batch.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self._count)]
        self._running += batch.rewards
        self._length += 1
        ended = np.flatnonzero(done)
        if len(ended):
            self._close_episodes(ended)
            finals = self._shifted(batch.final_observations)
            for index in ended.tolist():
                infos[index] = {"terminal_observation": finals[index],
                                "TimeLimit.truncated": bool(batch.truncated[index] and not batch.terminated[index])}
        return self._shifted(batch.observations), batch.rewards.astype(np.float32), done, infos

    def take_episodes(self) -> tuple[list[float], list[int]]:
        """Return the returns and lengths of the episodes that ended since the last call."""
        taken = self._returns, self._lengths
        self._returns, self._lengths = [], []
        return taken

    def _close_episodes(self, ended: NDArray[np.int64]) -> None:
        self._returns += self._running[ended].tolist()
        self._lengths += self._length[ended].tolist()
        self._running[ended], self._length[ended] = 0, 0

    def _shifted(self, observations: NDArray[Any]) -> NDArray[Any]:
        return observations - self._client.observation.start if self._client.observation.start else observations

    def close(self) -> None:
        """End the channel."""
        self._client.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return None for `render_mode`, all that the library asks for; raises AttributeError for the rest."""
        if attr_name != "render_mode":
            raise AttributeError(attr_name)
        return [None] * self._count

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the environments live in another fence."""
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Refuse: the environments live in another fence."""
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Sequence[bool]:
        """Say that no Gymnasium wrapper is in use."""
        return [False] * self._count


def from_zero(space: SpaceSpec) -> SpaceSpec:
    """Return the same space, a Discrete one numbered from 0."""
    return discrete(space.n) if space.kind == "Discrete" else replace(space)
