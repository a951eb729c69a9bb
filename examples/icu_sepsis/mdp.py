"""The ICU-Sepsis MDP as the `icu-sepsis` package ships it, in a compact form that is the same number for number.

Estimated from MIMIC-III: Choudhary, Gupta, Thomas, "ICU-Sepsis: A Benchmark MDP Built from Real Medical Data", 2024.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DEATH, SURVIVAL, ABSORBED = 713, 714, 715
TERMINAL = (DEATH, SURVIVAL, ABSORBED)
MAX_STEPS = 500  # the package registers its environment with this time limit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Mdp:
    """Sparse tables of S states and A actions.

    Every pair of a state and an action names one of R distinct rows of next-state probabilities: in each state all
    actions that clinicians hardly ever took share one row, the mean of the others (the package's treatment of
    inadmissible actions). Row r holds entries starts[r] to starts[r + 1] of the flat arrays.

    row_of: (S, A) int32; starts: (R + 1,) int64; next_state: (E,) int16; probability, reward: (E,) float64;
    initial: (S,) float64; clinicians: (S, A) float64, rows of zeros where no clinician ever acted (after the end).
    """

    row_of: NDArray[np.int32]
    starts: Integers
    next_state: NDArray[np.int16]
    probability: Floats
    reward: Floats
    initial: Floats
    clinicians: Floats

    @property
    def cumulative(self) -> Floats:
        """(E,) float64: r + the probability of this entry or an earlier one of row r; sorted over the whole array."""
        rows = np.split(self.probability, self.starts[1:-1])
        cumulative = np.concatenate([number + np.cumsum(row) for number, row in enumerate(rows)])
        cumulative[self.starts[1:] - 1] = np.arange(1, len(self.starts))
        return cumulative

    def backup(self, values: Floats) -> Floats:
        """Return (S, A): the expected reward of each action plus the value of the state it leads to."""
        gain = self.probability * (self.reward + values[self.next_state])
        return np.add.reduceat(gain, self.starts[:-1])[self.row_of]


def load() -> Mdp:
    """Read the installed package's own tables, without importing it (its import warns about the retired `gym`).

    Raises:
        ModuleNotFoundError: the package `icu-sepsis` is not installed.
    """
    found = importlib.util.find_spec("icu_sepsis")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("icu-sepsis is not installed", name="icu-sepsis")
    with np.load(Path(found.submodule_search_locations[0]) / "envs" / "assets" / "dynamics.npz") as tables:
        transitions, rewards = tables["tx_mat"], tables["r_mat"]
        return _compact(transitions, rewards, tables["d_0"], tables["expert_policy"])


def _compact(transitions: Floats, rewards: Floats, initial: Floats, clinicians: Floats) -> Mdp:
    row_of = np.empty(transitions.shape[:2], np.int32)
    nexts, probabilities, gains, starts = [], [], [], [0]
    for state, table in enumerate(transitions):
        known: dict[bytes, int] = {}
        for action, row in enumerate(table):
            number = known.setdefault(row.tobytes(), len(starts) - 1)
            row_of[state, action] = number
            if number < len(starts) - 1:
                continue
            reached = np.flatnonzero(row)
            nexts.append(reached)
            probabilities.append(row[reached])
            gains.append(rewards[state, action, reached])
            starts.append(starts[-1] + len(reached))
    return Mdp(row_of, np.array(starts), np.concatenate(nexts).astype(np.int16), np.concatenate(probabilities),
               np.concatenate(gains), initial, clinicians)


def optimal_actions(mdp: Mdp, tolerance: float = 1e-10) -> Integers:
    """Return (S,): the best action of each state by value iteration, undiscounted (every stay ends)."""
    values = np.zeros(len(mdp.initial))
    while True:
        better = mdp.backup(values).max(axis=1)
        better[list(TERMINAL)] = 0.0
        if np.abs(better - values).max() < tolerance:
            return mdp.backup(better).argmax(axis=1)
        values = better


def expected_return(mdp: Mdp, policy: Floats, steps: int = MAX_STEPS) -> float:
    """Return the exact expected return of (S, A) action probabilities over at most `steps` steps."""
    values = np.zeros(len(mdp.initial))
    for _ in range(steps):
        values = (policy * mdp.backup(values)).sum(axis=1)
        values[list(TERMINAL)] = 0.0
    return float(mdp.initial @ values)
