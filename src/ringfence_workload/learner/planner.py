"""Planning from logged steps alone, with pessimism about what the log hardly shows.

Actions seen fewer than `min_count` times in a state are not considered there, and each remaining one pays
penalty / sqrt(count): a lower-confidence-bound value iteration (Rashidinejad et al., 2021, "Bridging Offline
Reinforcement Learning and Imitation Learning"; Jin et al., 2021). Without it the plan believes its luckiest guesses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence_workload.task import TaskError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MAX_SWEEPS = 20_000
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Log:
    """Logged steps in any order, each array (rows,): int64, the rewards float64; episodes numbered from 0."""

    episode: Integers
    state: Integers
    action: Integers
    next_state: Integers
    reward: Floats

    def returns(self) -> Floats:
        """Return (episodes,): the undiscounted return of each episode."""
        returns: Floats = np.bincount(self.episode, self.reward).astype(np.float64)
        return returns


@dataclass(frozen=True)
class Counts:
    """What a log shows of S states and A actions.

    seen: (S, A) int64, how often; reward: (S, A) float64, the mean; entries of the same length: pair = state * A +
    action, successor, and how often it followed (float64). `floor` and `ceiling` bound the rewards still to come at any
    step of any logged episode; `initial` is the (S,) share of episodes that start in each state.
    """

    seen: Integers
    reward: Floats
    pair: Integers
    successor: Integers
    share: Floats
    initial: Floats
    floor: float
    ceiling: float

    def backup(self, values: Floats, discount: float) -> Floats:
        """Return (S, A): the mean reward plus the discounted value of what followed; 0 where nothing was seen."""
        following = np.bincount(self.pair, self.share * values[self.successor], self.seen.size)
        return self.reward + discount * following.reshape(self.seen.shape)


@dataclass(frozen=True)
class Plan:
    """One action a state, (S,) int64, and what the planner thinks of it.

    `pessimistic` and `believed` are the expected return from the log's initial states with and without the penalty.
    """

    actions: Integers
    pessimistic: float
    believed: float
    sweeps: int


def count(log: Log, shape: tuple[int, int]) -> Counts:
    """Count the steps of a log; `shape` is (S, A), the number of states and actions."""
    pairs = log.state * shape[1] + log.action
    seen = np.bincount(pairs, minlength=shape[0] * shape[1])
    reward = np.bincount(pairs, log.reward, seen.size) / np.maximum(seen, 1)
    triples, times = np.unique(pairs * shape[0] + log.next_state, return_counts=True)
    pair, successor = triples // shape[0], triples % shape[0]
    losses, gains = (np.bincount(log.episode, part) for part in (np.minimum(log.reward, 0), np.maximum(log.reward, 0)))
    return Counts(seen.reshape(shape), reward.reshape(shape), pair, successor, times / seen[pair],
                  _initial(log, shape[0]), float(losses.min()), float(gains.max()))


def _initial(log: Log, size: int) -> Floats:
    # A state is left as often as it is entered, but for episodes that start in it: no order of the steps is needed.
    left, entered = np.bincount(log.state, minlength=size), np.bincount(log.next_state, minlength=size)
    starts = np.maximum(left - entered, 0)
    weights = starts if starts.any() else left
    shares: Floats = weights / weights.sum()
    return shares


def plan(counts: Counts, *, penalty: float, min_count: int, discount: float,
         on_sweep: Callable[[int, float], None] = lambda sweep, value: None) -> Plan:
    """Return the pessimistic plan; `on_sweep(sweep, value)` hears of the progress.

    Raises:
        TaskError: `planner.not_converged`.
    """
    considered = counts.seen >= min_count
    likeliest = counts.seen.argmax(axis=1)
    considered[np.arange(len(likeliest)), likeliest] = True
    cost = penalty / np.sqrt(np.maximum(counts.seen, 1))

    def improve(values: Floats) -> tuple[Integers, Floats]:
        worth = np.where(considered, counts.backup(values, discount) - cost, -np.inf)
        return worth.argmax(axis=1), worth.max(axis=1)

    values, sweeps = _fixed_point(counts, lambda values: improve(values)[1], on_sweep)
    actions = improve(values)[0]
    rows = np.arange(len(actions))
    believed, _ = _fixed_point(counts, lambda values: counts.backup(values, discount)[rows, actions])
    actions = np.where(counts.seen.any(axis=1), actions, counts.seen.sum(axis=0).argmax())
    return Plan(actions, float(counts.initial @ values), float(counts.initial @ believed), sweeps)


def _fixed_point(counts: Counts, step: Callable[[Floats], Floats],
                 on_sweep: Callable[[int, float], None] = lambda sweep, value: None) -> tuple[Floats, int]:
    # From the worst that was ever seen upwards: the sweeps then only rise, and end at the most pessimistic solution.
    is_left = counts.seen.any(axis=1)
    values = np.where(is_left, counts.floor, 0.0)
    for sweep in range(1, MAX_SWEEPS + 1):
        better = np.where(is_left, step(values).clip(counts.floor, counts.ceiling), 0.0)
        change = np.abs(better - values).max()
        values = better
        on_sweep(sweep, float(counts.initial @ values))
        if change < TOLERANCE:
            return values, sweep
    raise TaskError("planner.not_converged", f"The plan still changed after {MAX_SWEEPS} sweeps.",
                    fix="Set the hyperparameter discount below 1.", field="hyperparameters.discount")


def support(counts: Counts, chosen: Plan, min_count: int, horizon: int = 500) -> dict[str, Any]:
    """Say how well the log supports the plan, weighed by the steps it is expected to take (by its own model)."""
    rows = np.arange(len(chosen.actions))
    behind = counts.seen[rows, chosen.actions]
    follows = counts.pair % counts.seen.shape[1] == chosen.actions[counts.pair // counts.seen.shape[1]]
    source, target, share = (counts.pair[follows] // counts.seen.shape[1], counts.successor[follows],
                             counts.share[follows])
    here, visits = counts.initial, np.zeros(len(rows))
    for _ in range(horizon):
        here = np.where(behind > 0, here, 0.0)
        visits += here
        here = np.bincount(target, share * here[source], len(rows)).astype(np.float64)
        if here.sum() < 1e-9:
            break
    order = np.argsort(behind)
    middle = np.searchsorted(np.cumsum(visits[order]), visits.sum() / 2)
    return {"states": len(rows), "states_seen": int(counts.seen.any(axis=1).sum()),
            "pairs_seen": int((counts.seen > 0).sum()), "median_count": int(behind[order][middle]),
            "rarely_seen_share": float(visits[behind < min_count].sum() / visits.sum())}
