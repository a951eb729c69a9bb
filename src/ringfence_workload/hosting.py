"""Puts N environments, or one batched one, behind the same face. The code it calls is a simulator's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ringfence_workload.task import TaskError
from ringfence_workload.wire import spaces
from ringfence_workload.wire.channel import Array, Batch


@dataclass(frozen=True)
class Hosted:
    """`reset(seed or None, batch)` fills the observations; `step(actions (N, *shape), batch)` fills all of it."""

    observation: spaces.SpaceSpec
    action: spaces.SpaceSpec
    reset: Callable[[int | None, Batch], None]
    step: Callable[[Array, Batch], None]


def host_many(envs: Sequence[Any]) -> Hosted:
    """Host single environments; where an episode ends, the next begins in the same step. Raises SpaceError."""
    observation = spaces.from_gymnasium(envs[0].observation_space)
    action = spaces.from_gymnasium(envs[0].action_space)
    steps = [(number, env.step, env.reset) for number, env in enumerate(envs)]
    whole_numbers = action.kind == "Discrete"

    def reset(seed: int | None, batch: Batch) -> None:
        for number, _, again in steps:
            batch.observations[number] = again(seed=None if seed is None else seed + number)[0]

    def step(actions: Array, batch: Batch) -> None:
        observations, finals = batch.observations, batch.finals
        chosen = actions.tolist() if whole_numbers else actions
        rewards, terminated, truncated = [], [], []
        for number, act, again in steps:
            value, reward, over, cut, _ = act(chosen[number])
            if over or cut:
                finals[number] = value
                value = again()[0]
            observations[number] = value
            rewards.append(reward)
            terminated.append(over)
            truncated.append(cut)
        batch.rewards[:], batch.terminated[:], batch.truncated[:] = rewards, terminated, truncated

    return Hosted(observation, action, reset, step)


def host_vector(env: Any, num_envs: int) -> Hosted:
    """Host a batched environment.

    Raises:
        SpaceError: the channel can't carry one of its spaces.
        TaskError: it does not have `num_envs` environments, or resets otherwise than in the same step.
    """
    if env.num_envs != num_envs:
        raise TaskError("simulator.wrong_number", f"The factory was asked for {num_envs} environments and made "
                        f"{env.num_envs}.", fix="Return a VectorEnv with num_envs environments.")
    _require_same_step(env)

    def reset(seed: int | None, batch: Batch) -> None:
        batch.observations[:] = env.reset(seed=seed)[0]

    def step(actions: Array, batch: Batch) -> None:
        observations, rewards, terminated, truncated, infos = env.step(actions)
        batch.observations[:], batch.rewards[:] = observations, rewards
        batch.terminated[:], batch.truncated[:] = terminated, truncated
        ended = np.logical_or(terminated, truncated)
        if ended.any():
            _copy_finals(infos, ended, batch)

    return Hosted(spaces.from_gymnasium(env.single_observation_space), spaces.from_gymnasium(env.single_action_space),
                  reset, step)


def _require_same_step(env: Any) -> None:
    mode = (getattr(env, "metadata", None) or {}).get("autoreset_mode")
    if str(getattr(mode, "name", mode)).upper() != "SAME_STEP":
        raise TaskError("simulator.autoreset_unsupported", f"The VectorEnv resets in mode {str(mode)[:40]}.",
                        field="metadata.autoreset_mode", value=str(mode)[:40],
                        fix="Set metadata = {'autoreset_mode': gymnasium.vector.AutoresetMode.SAME_STEP} and reset in "
                            "the step that ends an episode.")


def _copy_finals(infos: Any, ended: Any, batch: Batch) -> None:
    try:
        finals = infos["final_obs"]
        for number in np.flatnonzero(ended):
            batch.finals[number] = finals[number]
    except (KeyError, TypeError, IndexError) as error:
        raise TaskError("simulator.final_obs_missing", "An episode ended and infos['final_obs'] does not hold its last "
                        "observation.", fix="Return {'final_obs': array} in the infos of such a step.") from error
