"""What the project promises: `python -m pytest` where Gymnasium is installed, or `python tests/test_simulator.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from baselines import FOLDER, order_up_to
from inventory_sim import CAPACITY, DAYS, make


def mean_profit(table: np.ndarray) -> float:
    env = make(200)
    stock, rewards = env.reset(seed=4)[0], 0.0
    for _ in range(DAYS):
        stock, reward, *_ = env.step(table[stock].argmax(axis=1))
        rewards += float(reward.mean())
    return rewards


def test_nothing_ordered_nothing_delivered_and_what_is_sold_was_there() -> None:
    env = make(50)
    before = env.reset(seed=1)[0]
    after, rewards, *_ = env.step(np.zeros(50, np.int64))
    assert ((after >= 0) & (after <= before)).all()
    assert (rewards <= 0.1 * before).all()


def test_a_full_shelf_takes_no_more() -> None:
    env = make(50)
    env.reset(seed=1)
    for _ in range(20):
        stock = env.step(np.full(50, 20))[0]
        assert (stock <= CAPACITY).all()


def test_a_quarter_ends_after_its_days() -> None:
    env = make(2)
    env.reset(seed=1)
    ends = [env.step(np.array([8, 8]))[3].all() for _ in range(2 * DAYS)]
    assert [day + 1 for day, end in enumerate(ends) if end] == [DAYS, 2 * DAYS]


def test_the_shopkeeper_earns_more_than_one_who_never_or_always_orders() -> None:
    never, always = np.zeros((CAPACITY + 1, 21)), np.zeros((CAPACITY + 1, 21))
    never[:, 0], always[:, 20] = 1, 1
    assert mean_profit(order_up_to()) > max(mean_profit(never), mean_profit(always)) + 5


def test_the_baseline_that_is_shipped_is_the_one_that_is_written() -> None:
    from safetensors.numpy import load

    assert (load((FOLDER / "agent.safetensors").read_bytes())["policy"] == order_up_to()).all()


if __name__ == "__main__":
    for name, test in [item for item in globals().items() if item[0].startswith("test_")]:
        test()
        print(f"{name} passed")
