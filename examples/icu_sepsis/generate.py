"""Write logged intensive-care stays with identities, as a hospital's export would hold them (CSV, one row a step).

    python examples/icu_sepsis/generate.py stays.csv --stays 20000 --seed 7

The trajectories are drawn from ICU-Sepsis under the clinicians' policy; every person in the file is invented.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import mdp
import numpy as np
from numpy.typing import NDArray
from people import Person, invent, note

COLUMNS = ("name", "mrn", "ssn", "date_of_birth", "address", "region", "phone", "email", "note", "stay_id", "step",
           "state", "action", "next_state", "reward")
PATIENTS_PER_STAY = 0.84  # some come back


class Steps(NamedTuple):
    """One entry a step, in the order of stay, then step; all (rows,) int64 but reward, float64."""

    stay: NDArray[np.int64]
    step: NDArray[np.int64]
    state: NDArray[np.int64]
    action: NDArray[np.int64]
    next_state: NDArray[np.int64]
    reward: NDArray[np.float64]


class Written(NamedTuple):
    """How much a file holds."""

    rows: int
    stays: int
    patients: int


def generate(path: Path, stays: int = 20_000, seed: int = 7) -> Written:
    """Write `stays` stays to the CSV file `path`, whole or not at all; the same arguments give the same bytes.

    Raises:
        ValueError: `stays` is not positive.
        ModuleNotFoundError: the extra `demo` is not installed.
    """
    if stays < 1:
        raise ValueError(f"{stays} stays were asked for; ask for at least 1.")
    random = np.random.default_rng(seed)
    steps = draw_stays(mdp.load(), stays, random)
    patients = invent(max(1, round(stays * PATIENTS_PER_STAY)), seed, random)
    patient_of = np.concatenate([np.arange(len(patients)),
                                 random.integers(0, len(patients), stays - len(patients))])
    random.shuffle(patient_of)
    _write(path, _rows(steps, patients, patient_of, random))
    return Written(len(steps.stay), stays, len(patients))


def draw_stays(tables: mdp.Mdp, stays: int, random: np.random.Generator) -> Steps:
    """Draw whole stays, all at once, from admission to death, survival or the package's time limit."""
    choice = np.cumsum(tables.clinicians, axis=1)
    chance, initial = tables.cumulative, np.cumsum(tables.initial)
    stay = np.arange(stays)
    state = _search(initial, random.random(stays))
    drawn: list[Steps] = []
    for step in range(mdp.MAX_STEPS):
        action = (choice[state] <= random.random(len(state))[:, None] * choice[state, -1:]).sum(axis=1)
        # Short of 1 by more than a row's number can swallow, so that row + draw never reaches the next row.
        entry = _search(chance, tables.row_of[state, action] + random.random(len(state)) * (1 - 2.0**-36))
        reached = tables.next_state[entry].astype(np.int64)
        drawn.append(Steps(stay, np.full(len(stay), step), state, action, reached, tables.reward[entry]))
        goes_on = ~np.isin(reached, mdp.TERMINAL)
        stay, state = stay[goes_on], reached[goes_on]
        if not len(stay):
            break
    joined = [np.concatenate(column) for column in zip(*drawn, strict=True)]
    order = np.lexsort((joined[1], joined[0]))
    return Steps(*(column[order] for column in joined))


def _search(cumulative: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.searchsorted(cumulative, draws, side="right").clip(max=len(cumulative) - 1)


def _rows(steps: Steps, patients: list[Person], patient_of: NDArray[np.int64],
          random: np.random.Generator) -> Iterable[tuple[object, ...]]:
    numbers = random.choice(90_000_000, len(patient_of), replace=False) + 10_000_000
    variety = random.integers(0, 1 << 30, len(steps.stay)).tolist()
    columns = zip(*(column.tolist() for column in steps), variety, strict=True)
    for stay, step, state, action, next_state, reward, variant in columns:
        person = patients[patient_of[stay]]
        yield (*person.identity, note(person, step, action, variant), f"V{numbers[stay]}", step, state, action,
               next_state, reward)


def _write(path: Path, rows: Iterable[tuple[object, ...]]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def main() -> None:
    """Take the command line's arguments and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the CSV file to write")
    parser.add_argument("--stays", type=int, default=20_000, help="how many stays (default: 20000, about 185,000 rows)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same file (default: 7)")
    arguments = parser.parse_args()
    try:
        written = generate(arguments.path, arguments.stays, arguments.seed)
    except ModuleNotFoundError as error:
        parser.exit(1, f"The package {error.name} is not installed: run `pip install 'ringfence[demo]'`.\n")
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{arguments.path}: {written.rows} rows, {written.stays} stays, {written.patients} patients (all invented).")


if __name__ == "__main__":
    main()
