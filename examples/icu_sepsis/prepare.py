"""Write the ICU-Sepsis simulator project: the package's tables, the clinicians and the optimum, as data files.

    python examples/icu_sepsis/prepare.py [FOLDER]      (default: the folder `simulator` beside this file)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

import mdp
import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).with_name("simulator")


def prepare(folder: Path) -> Path:
    """Make `folder` a complete simulator project and return it; what stands there already is replaced.

    Raises:
        ModuleNotFoundError: the package `icu-sepsis` is not installed.
    """
    tables = mdp.load()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("simulator.yaml", "icu_sepsis_sim.py"):
        if folder.resolve() != SOURCE.resolve():
            shutil.copyfile(SOURCE / name, folder / name)
    _write_tables(tables, folder / "tables.npz")
    actions = tables.row_of.shape[1]
    unused = tables.clinicians.sum(axis=1) == 0
    clinicians = np.where(unused[:, None], 1 / actions, tables.clinicians)
    _write_agent(clinicians, "stochastic", folder / "baselines" / "clinicians")
    _write_agent(np.eye(actions)[mdp.optimal_actions(tables)], "deterministic", folder / "baselines" / "optimal")
    return folder


def _write_tables(tables: mdp.Mdp, path: Path) -> None:
    initial = np.cumsum(tables.initial)
    initial[np.flatnonzero(tables.initial)[-1]:] = 1.0
    is_terminal = np.isin(np.arange(len(tables.initial)), mdp.TERMINAL)
    scratch = path.with_name(".tables.npz")
    np.savez_compressed(scratch, row_of=tables.row_of, cumulative=tables.cumulative, reward=tables.reward,
                        next_state=tables.next_state, initial_cumulative=initial, is_terminal=is_terminal)
    os.replace(scratch, path)


def _write_agent(policy: NDArray[np.float64], mode: str, folder: Path) -> None:
    from safetensors.numpy import save  # here, so that a missing package is an error of the call

    states, actions = policy.shape
    folder.mkdir(parents=True, exist_ok=True)
    description = {"format": "ringfence-agent/1", "kind": "tabular", "mode": mode,
                   "observation_space": {"type": "Discrete", "n": states, "start": 0},
                   "action_space": {"type": "Discrete", "n": actions, "start": 0}}
    (folder / "agent.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    (folder / "agent.safetensors").write_bytes(save({"policy": policy.astype(np.float32)}))


def main() -> None:
    """Take the command line's argument and say where the project stands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=SOURCE)
    try:
        folder = prepare(parser.parse_args().folder)
    except ModuleNotFoundError as error:
        parser.exit(1, f"The package {error.name} is not installed: run `pip install 'ringfence[demo]'`.\n")
    except OSError as error:
        parser.exit(1, f"{error}\n")
    print(f"The simulator project stands in {folder}.")


if __name__ == "__main__":
    main()
