"""Looks at what a simulator hands out before anything converts it: types, shapes, numbers, membership of the space."""

from __future__ import annotations

from typing import Any

import numpy as np

from ringfence_workload.task import TaskError
from ringfence_workload.wire import spaces

VALUE_STEPS = 50


def draw(random: np.random.Generator, action: spaces.SpaceSpec, count: int) -> Any:
    """Return `count` random actions (count, *shape); continuous ones within [-1, 1] where the space is wider."""
    low, high = action.limits()
    shape = (count, *low.shape)
    if np.dtype(action.dtype).kind == "f":
        return random.uniform(np.clip(-1.0, low, high), np.clip(1.0, low, high), shape).astype(action.dtype)
    return random.integers(low, high, shape, dtype=action.dtype, endpoint=True)


def require_members(checks: spaces.Checker, spec: spaces.SpaceSpec, values: Any, step: int) -> None:
    """Check a batch of observations (N, *shape).

    Raises:
        TaskError: `simulator.not_finite`, `simulator.out_of_space`: which element, at which step, and what it is.
    """
    if checks.holds(values):
        return
    low, high = spec.limits()
    bad = ~((values >= low) & (values <= high))
    place = tuple(int(part) for part in np.argwhere(bad)[0])
    value = values[place]
    where = f"Element {list(place[1:])} of an observation" if len(place) > 1 else "An observation"
    if not np.isfinite(value):
        raise TaskError("simulator.not_finite", f"{where} is {value} at step {step}.", field="observation",
                        value=str(value), fix="Find the division, logarithm or overflow it comes from.")
    within = f"[{np.broadcast_to(low, spec.shape)[place[1:]]}, {np.broadcast_to(high, spec.shape)[place[1:]]}]"
    raise TaskError("simulator.out_of_space", f"{where} is {value} at step {step}, and the space ends at {within}.",
                    field="observation_space", value=str(value)[:40],
                    fix="Widen the space's bounds, or clip what the simulator returns.")


def require_single(env: Any, observation: spaces.SpaceSpec) -> None:
    """Step a Gymnasium `Env`, looking at each raw value.

    Raises:
        TaskError: `simulator.wrong_type`, with the field.
    """
    first = _parts("reset", env.reset(seed=1), 2)
    _castable(first[0], observation, observation.shape)
    _mapping("info of reset", first[1])
    env.action_space.seed(1)
    for _ in range(VALUE_STEPS):
        value, reward, terminated, truncated, info = _parts("step", env.step(env.action_space.sample()), 5)
        _castable(value, observation, observation.shape)
        if np.shape(reward) != () or np.asarray(reward).dtype.kind not in "fiub":
            raise _wrong("reward", "a number", reward)
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(flag, bool | np.bool_):
                raise _wrong(name, "True or False", flag)
        _mapping("info of step", info)
        if terminated or truncated:
            env.reset()


def require_batch(env: Any, count: int, observation: spaces.SpaceSpec, action: spaces.SpaceSpec,
                  steps: int = VALUE_STEPS) -> None:
    """Step a `VectorEnv` of `count` environments, looking at each raw array.

    Raises:
        TaskError: `simulator.wrong_type`, with the field.
    """
    whole = (count, *observation.shape)
    if getattr(env, "num_envs", None) != count:
        raise TaskError("simulator.wrong_number", f"The factory was asked for {count} environments and made "
                        f"{getattr(env, 'num_envs', None)}.", fix="Return a VectorEnv with num_envs environments.",
                        field="num_envs")
    values, info = _parts("reset", env.reset(seed=1), 2)
    _castable(values, observation, whole)
    _mapping("info of reset", info)
    random = np.random.default_rng(1)
    for _ in range(steps):
        values, rewards, terminated, truncated, info = _parts("step", env.step(draw(random, action, count)), 5)
        _castable(values, observation, whole)
        _array("rewards", rewards, (count,), "fiu", "numbers")
        _array("terminated", terminated, (count,), "b", "True or False")
        _array("truncated", truncated, (count,), "b", "True or False")
        _mapping("info of step", info)


def _parts(what: str, answer: Any, count: int) -> tuple[Any, ...]:
    if not isinstance(answer, tuple) or len(answer) != count:
        raise _wrong(what, f"a tuple of {count}", answer)
    return answer


def _castable(value: Any, spec: spaces.SpaceSpec, shape: tuple[int, ...]) -> None:
    array = np.asarray(value)
    if array.shape != shape:
        raise TaskError("simulator.wrong_type", f"An observation has shape {list(array.shape)}, and {list(shape)} was "
                        "promised.", field="observation", value=str(list(array.shape)),
                        fix="Return what the observation space describes.")
    same_kind = array.dtype.kind in "iub" if np.dtype(spec.dtype).kind in "iu" else array.dtype == np.dtype(spec.dtype)
    if not same_kind:
        raise TaskError("simulator.wrong_type", f"An observation is {array.dtype}, and the space says {spec.dtype}.",
                        field="observation", value=str(array.dtype),
                        fix=f"Return it as {spec.dtype}, or give the space dtype={array.dtype}.")


def _array(name: str, value: Any, shape: tuple[int, ...], kinds: str, said: str) -> None:
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype.kind not in kinds:
        raise _wrong(name, f"an array of shape {list(shape)} of {said}", value)


def _mapping(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise _wrong(name, "a dict", value)


def _wrong(name: str, wanted: str, value: Any) -> TaskError:
    found = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
    return TaskError("simulator.wrong_type", f"{name} is {found}, and must be {wanted}.", field=name, value=found[:80],
                     fix="See gymnasium.Env.step and gymnasium.vector.VectorEnv.step for what they return.")
