"""Planning from counts: right where a brute-force search can say what right is, cautious where the log is thin."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence_workload.learner import planner

CAREFREE = {"penalty": 0.0, "min_count": 1, "discount": 1.0}


def episodes_of(steps: list[list[tuple[int, int, int, float]]]) -> planner.Log:
    """Make a log of episodes, each a list of (state, action, next state, reward)."""
    rows = [(number, *step) for number, episode in enumerate(steps) for step in episode]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return planner.Log(*columns[:4], columns[4].astype(np.float64))


def random_log(seed: int, states: int = 4, actions: int = 2, episodes: int = 60) -> planner.Log:
    """Walk a random process whose last state ends an episode; rewards in [-1, 1]."""
    random = np.random.default_rng(seed)
    chances = random.dirichlet(np.ones(states), size=(states, actions))
    gains = random.uniform(-1, 1, (states, actions, states))
    logged = []
    for _ in range(episodes):
        state, steps = int(random.integers(states - 1)), []
        while state != states - 1:
            action = int(random.integers(actions))
            reached = int(random.choice(states, p=chances[state, action]))
            steps.append((state, action, reached, float(gains[state, action, reached])))
            state = reached
        logged.append(steps)
    return episodes_of(logged)


def value_of(log: planner.Log, shape: tuple[int, int], actions: tuple[int, ...], discount: float) -> Any:
    """Solve for the state values of fixed actions in the log's own relative frequencies, by plain loops."""
    matrix, gain = np.eye(shape[0]), np.zeros(shape[0])
    for state in range(shape[0]):
        chosen = (log.state == state) & (log.action == actions[state])
        if chosen.any():
            gain[state] = log.reward[chosen].mean()
            for reached in log.next_state[chosen]:
                matrix[state, reached] -= discount / chosen.sum()
    return np.linalg.solve(matrix, gain)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), discount=st.sampled_from([0.5, 0.9]))
def test_without_caution_the_plan_is_the_best_of_all(seed: int, discount: float) -> None:
    log, shape = random_log(seed), (4, 2)
    counts = planner.count(log, shape)
    # Wide bounds: this is about the planning, not about keeping values within what was seen.
    counts = planner.Counts(**{**vars(counts), "floor": -1e3, "ceiling": 1e3})
    plan = planner.plan(counts, penalty=0.0, min_count=1, discount=discount)
    seen = [[action for action in range(2) if counts.seen[state, action]] or [0] for state in range(4)]
    best = max(float(counts.initial @ value_of(log, shape, choice, discount)) for choice in product(*seen))
    assert plan.believed == pytest.approx(best, abs=1e-6)
    assert plan.pessimistic == pytest.approx(best, abs=1e-6)
    assert float(counts.initial @ value_of(log, shape, tuple(plan.actions), discount)) == pytest.approx(best, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.floats(0, 1), min_count=st.integers(1, 8))
def test_the_order_of_the_rows_does_not_matter(seed: int, penalty: float, min_count: int) -> None:
    log = random_log(seed)
    order = np.random.default_rng(seed).permutation(len(log.state))
    shuffled = planner.Log(*(column[order] for column in vars(log).values()))
    one, two = (planner.plan(planner.count(each, (4, 2)), penalty=penalty, min_count=min_count, discount=1.0)
                for each in (log, shuffled))
    assert np.array_equal(one.actions, two.actions)
    assert one.pessimistic == pytest.approx(two.pessimistic)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.floats(0.01, 1), more=st.floats(0.01, 1))
def test_more_caution_promises_less(seed: int, penalty: float, more: float) -> None:
    counts = planner.count(random_log(seed), (4, 2))
    some = planner.plan(counts, penalty=penalty, min_count=1, discount=1.0)
    plenty = planner.plan(counts, penalty=penalty + more, min_count=1, discount=1.0)
    assert plenty.pessimistic <= some.pessimistic + 1e-6
    for plan in (some, plenty):
        assert counts.floor - 1e-9 <= plan.pessimistic <= plan.believed + 1e-6 <= counts.ceiling + 1e-5


def test_a_lucky_guess_is_not_taken_for_knowledge() -> None:
    # Action 1 was tried once and survived; action 0 survived 80 times of 100.
    tried = [[(0, 0, 1, 1.0)]] * 80 + [[(0, 0, 2, 0.0)]] * 20 + [[(0, 1, 1, 1.0)]]
    counts = planner.count(episodes_of(tried), (3, 2))
    assert planner.plan(counts, **CAREFREE).actions[0] == 1
    assert planner.plan(counts, penalty=0.0, min_count=5, discount=1.0).actions[0] == 0
    assert planner.plan(counts, penalty=0.5, min_count=1, discount=1.0).actions[0] == 0


def test_the_log_itself_tells_where_episodes_start() -> None:
    log = random_log(5, episodes=200)
    first = [int(log.state[log.episode == episode][0]) for episode in range(200)]
    shares = np.bincount(first, minlength=4) / 200
    assert planner.count(log, (4, 2)).initial == pytest.approx(shares)


def test_where_nothing_was_seen_the_commonest_action_is_taken() -> None:
    counts = planner.count(episodes_of([[(0, 2, 1, 1.0)], [(0, 2, 1, 0.0)], [(0, 1, 1, 0.0)]]), (5, 3))
    plan = planner.plan(counts, penalty=0.1, min_count=2, discount=1.0)
    assert plan.actions.tolist() == [2, 2, 2, 2, 2]


def test_a_loop_without_reward_is_not_worth_the_wait() -> None:
    # Action 1 goes round for ever; the undiscounted plan must still end and leave by action 0.
    log = episodes_of([[(0, 1, 0, 0.0)] * 20 + [(0, 0, 1, 1.0)]] * 10)
    plan = planner.plan(planner.count(log, (2, 2)), penalty=0.01, min_count=5, discount=1.0)
    assert plan.actions[0] == 0
    assert plan.believed == pytest.approx(1.0)


def test_support_counts_what_stands_behind_the_steps_that_the_plan_takes() -> None:
    log = episodes_of([[(0, 0, 1, 0.0), (1, 0, 2, 1.0)]] * 40 + [[(0, 0, 1, 0.0), (1, 1, 2, 0.0)]] * 2)
    counts = planner.count(log, (4, 2))
    plan = planner.plan(counts, penalty=0.1, min_count=5, discount=1.0)
    told = planner.support(counts, plan, min_count=5)
    assert told == {"states": 4, "states_seen": 2, "pairs_seen": 3, "median_count": 40, "rarely_seen_share": 0.0}
    assert planner.support(counts, plan, min_count=41)["rarely_seen_share"] == pytest.approx(0.5)
