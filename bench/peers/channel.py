"""The peers of bench/channel.py, in the learner environment's own interpreter: one JSON request a line, one answer."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import SubprocVecEnv


def make_env() -> Any:
    """Return one unmodified environment."""
    return gymnasium.make("CartPole-v1")


def single(env: Any, steps: int) -> float:
    """Take `steps` random steps in one environment of this process; return the seconds."""
    actions = np.random.default_rng(0).integers(0, 2, steps).tolist()
    env.reset(seed=0)
    started = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return time.perf_counter() - started


def batched(envs: Any, steps: int) -> float:
    """Take `steps` random steps in all of a SubprocVecEnv; return the seconds."""
    actions = np.random.default_rng(0).integers(0, 2, (steps, envs.num_envs))
    envs.reset()
    started = time.perf_counter()
    for action in actions:
        envs.step(action)
    return time.perf_counter() - started


def main() -> None:
    """Answer until stdin ends."""
    env, envs = make_env(), SubprocVecEnv([make_env] * int(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        seconds = single(env, request["steps"]) if request["kind"] == "single" else batched(envs, request["steps"])
        print(json.dumps({"seconds": seconds}), flush=True)
    envs.close()


if __name__ == "__main__":
    main()
