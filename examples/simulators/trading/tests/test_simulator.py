"""What the project promises: `python -m pytest` where Gymnasium is installed, or `python tests/test_simulator.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from gymnasium.utils.env_checker import check_env

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from generate import prices
from trading_sim import DAYS, FEE, PRICES, make


def test_gymnasium_finds_nothing_wrong() -> None:
    check_env(make(), skip_render_check=True)


def test_being_in_earns_the_assets_own_return_less_one_fee() -> None:
    env, price = make(), np.loadtxt(PRICES, delimiter=",", skiprows=1, usecols=1)
    env.reset(seed=2)
    first = env._first
    rewards = [env.step(1) for _ in range(DAYS)]
    assert np.isclose(sum(reward[1] for reward in rewards),
                      100 * np.log(price[first + DAYS] / price[first]) - FEE, atol=1e-6)
    assert [reward[3] for reward in rewards] == [False] * (DAYS - 1) + [True]


def test_being_out_earns_nothing_and_no_future_return_is_seen() -> None:
    env = make()
    observation, _ = env.reset(seed=2)
    for _ in range(DAYS):
        following = env._returns[env._today]
        assert not np.isclose(observation[:10], following, atol=1e-7).any()
        observation, reward, *_ = env.step(0)
        assert reward == 0
        assert np.isclose(observation[9], following)


def test_the_series_that_is_shipped_is_the_one_that_is_generated() -> None:
    assert np.allclose(np.loadtxt(PRICES, delimiter=",", skiprows=1, usecols=1), prices(), atol=1e-4)


if __name__ == "__main__":
    for name, test in [item for item in globals().items() if item[0].startswith("test_")]:
        test()
        print(f"{name} passed")
