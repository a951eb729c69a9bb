"""What the project promises: `python -m pytest` where Gymnasium is installed, or `python tests/test_simulator.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cartpole_sim import MAX_STEPS, make, push


def test_a_step_is_gymnasiums_own() -> None:
    env, random = gymnasium.make("CartPole-v1").unwrapped, np.random.default_rng(3)
    for _ in range(200):
        state, action = random.uniform(-0.2, 0.2, 4), int(random.integers(2))
        env.reset(seed=1)
        env.state = tuple(state)
        theirs = env.step(action)[0]
        ours = push(state[:, np.newaxis], np.array([action]))[:, 0].astype(np.float32)
        assert np.allclose(ours, theirs, rtol=0, atol=1e-7), (ours, theirs)


def test_a_cart_that_falls_begins_anew_in_the_same_step() -> None:
    env = make(3)
    env.reset(seed=1)
    for _ in range(MAX_STEPS):
        observations, _, terminated, truncated, infos = env.step(np.array([1, 1, 1]))
        if terminated.any():
            break
    assert terminated.any()
    assert not truncated.any()
    assert (np.abs(infos["final_obs"][terminated, 2]) > 0.2).all()
    assert (np.abs(observations[terminated]) <= 0.05).all()


def test_a_seed_gives_the_same_episodes_again() -> None:
    seen = []
    for seed in (5, 5, 6):
        env = make(4)
        first = env.reset(seed=seed)[0]
        seen.append(b"".join([first.tobytes(), *(env.step(np.array([0, 1, 0, 1]))[0].tobytes() for _ in range(100))]))
    assert seen[0] == seen[1] != seen[2]


if __name__ == "__main__":
    for name, test in [item for item in globals().items() if item[0].startswith("test_")]:
        test()
        print(f"{name} passed")
