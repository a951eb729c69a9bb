"""The tables are the package's own, the simulator obeys them, the baselines are what they say."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ringfence_workload import agent as agents

# Runs apart: importing the package prints gym's farewell and fills 200 MB.
PACKAGE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from icu_sepsis.envs import ICUSepsisEnv
from icu_sepsis.utils import constants
env = ICUSepsisEnv()
dynamics = env.dynamics
np.savez(sys.argv[1], transitions=dynamics["tx_mat"], rewards=dynamics["r_mat"], initial=dynamics["d_0"],
         clinicians=env.expert_policy)
print(json.dumps([env._inadmissible_action_strategy, constants.MAX_EPISODE_STEPS, sorted(constants.STATES_TERMINAL)]))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What the package's own environment says of itself."""
    path = tmp_path_factory.mktemp("package") / "tables.npz"
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", PACKAGE, path], capture_output=True, text=True,
                          check=True).stdout
    with np.load(path) as data:
        return SimpleNamespace(said=said.strip(), **{name: data[name] for name in data.files})


def dense(mdp: Any, values: Any) -> Any:
    table = np.zeros((*mdp.row_of.shape, len(mdp.initial)))
    for state, action in np.ndindex(mdp.row_of.shape):
        row = mdp.row_of[state, action]
        entries = slice(mdp.starts[row], mdp.starts[row + 1])
        table[state, action, mdp.next_state[entries]] = values[entries]
    return table


def test_the_tables_are_those_of_the_packages_environment(tables: Any, package: SimpleNamespace) -> None:
    assert package.said == '["mean", 500, [713, 714, 715]]'
    transitions = dense(tables, tables.probability)
    assert np.array_equal(transitions, package.transitions)
    assert np.array_equal(dense(tables, tables.reward), np.where(transitions > 0, package.rewards, 0))
    assert np.array_equal(tables.initial, package.initial)
    assert np.array_equal(tables.clinicians, package.clinicians)


def test_the_known_values_come_out(example: SimpleNamespace, tables: Any) -> None:
    value, count = example.mdp.expected_return, tables.row_of.shape[1]
    assert value(tables, np.full(tables.row_of.shape, 1 / count)) == pytest.approx(0.7801, abs=1e-4)
    assert value(tables, tables.clinicians) == pytest.approx(0.7818, abs=1e-4)
    assert value(tables, np.eye(count)[example.mdp.optimal_actions(tables)]) == pytest.approx(0.8751, abs=1e-4)


def test_the_prepared_tables_hold_the_same_probabilities(tables: Any, project: Path) -> None:
    with np.load(project / "tables.npz", allow_pickle=False) as data:
        cumulative, starts = data["cumulative"], tables.starts
        steps = np.diff(cumulative, prepend=0.0)
        assert np.array_equal(cumulative[starts[1:] - 1], np.arange(1, len(starts)))
        assert np.abs(steps - tables.probability).max() < 2e-12
        assert np.array_equal(data["next_state"], tables.next_state)
        assert np.array_equal(data["row_of"], tables.row_of)
        assert np.diff(data["initial_cumulative"], prepend=0.0) == pytest.approx(tables.initial, abs=1e-12)


def test_preparing_twice_gives_the_same_bytes_and_few_of_them(example: SimpleNamespace, project: Path,
                                                              tmp_path: Path) -> None:
    again = example.prepare.prepare(tmp_path / "again")

    def digests(folder: Path) -> dict[str, str]:
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in folder.rglob("*") if path.is_file()}

    assert digests(again) == digests(project)
    assert sum(path.stat().st_size for path in project.rglob("*") if path.is_file()) < 10e6


def test_the_baselines_are_the_clinicians_and_the_optimum(example: SimpleNamespace, tables: Any, project: Path) -> None:
    clinicians = agents.load_folder(project / "baselines" / "clinicians")
    assert isinstance(clinicians, agents.TabularAgent) and clinicians.stochastic
    acting = tables.clinicians.sum(axis=1) > 0
    chances = np.diff(clinicians.cumulative, axis=1, prepend=0.0)
    assert np.abs(chances - tables.clinicians)[acting].max() < 1e-6
    optimal = agents.load_folder(project / "baselines" / "optimal")
    best = optimal.act(np.arange(716), np.random.default_rng(0))
    assert np.array_equal(best, example.mdp.optimal_actions(tables))


def test_the_simulator_moves_by_the_tables(example: SimpleNamespace, tables: Any, project: Path) -> None:
    """For any function f, the sum of f(next) - E[f(next) | state, action] is zero but for chance."""
    simulator = example.icu_sepsis_sim.IcuSepsis(512, project / "tables.npz")
    random = np.random.default_rng(3)
    functions = random.normal(size=(12, 716))
    functions[0], functions[1] = np.arange(716) == 713, np.arange(716) == 714
    expected = np.stack([example.mdp.Mdp.backup(tables, f) - example.mdp.Mdp.backup(tables, np.zeros(716))
                         for f in functions])
    state, _ = simulator.reset(seed=5)
    surprises = []
    for _ in range(400):
        action = random.integers(0, 25, 512)
        following, reward, ended, truncated, infos = simulator.step(action)
        reached = np.where(ended | truncated, infos.get("final_obs", following), following)
        assert np.array_equal(reward, (reached == 714).astype(float))
        surprises.append(functions[:, reached] - expected[:, state, action])
        state = following
    total = np.concatenate(surprises, axis=1)
    scores = total.sum(axis=1) / np.sqrt((total**2).sum(axis=1))
    assert np.abs(scores).max() < 4.5


def test_new_patients_come_as_the_package_admits_them(example: SimpleNamespace, tables: Any, project: Path) -> None:
    simulator = example.icu_sepsis_sim.IcuSepsis(100_000, project / "tables.npz")
    admitted = np.bincount(simulator.reset(seed=2)[0], minlength=716) / 100_000
    spread = np.sqrt(tables.initial * (1 - tables.initial) / 100_000)
    assert (np.abs(admitted - tables.initial) <= 5 * spread).all()


def test_an_ended_stay_is_followed_by_another_in_the_same_step(example: SimpleNamespace, project: Path) -> None:
    simulator = example.icu_sepsis_sim.IcuSepsis(256, project / "tables.npz")
    simulator.reset(seed=1)
    ends = 0
    for _ in range(50):
        state, _, ended, _, infos = simulator.step(np.zeros(256, np.int64))
        assert (state < 713).all()
        if ended.any():
            assert np.isin(infos["final_obs"][ended], (713, 714, 715)).all()
            assert np.array_equal(infos["_final_obs"], ended)
            ends += int(ended.sum())
    assert ends > 100


def test_a_stay_without_end_is_cut_off_at_500_steps(example: SimpleNamespace, tmp_path: Path) -> None:
    np.savez(tmp_path / "loop.npz", row_of=np.zeros((2, 1), np.int32), cumulative=np.array([1.0]),
             next_state=np.array([0], np.int16), reward=np.array([0.0]), is_terminal=np.array([False, True]),
             initial_cumulative=np.array([1.0, 1.0]))
    simulator = example.icu_sepsis_sim.IcuSepsis(3, tmp_path / "loop.npz")
    simulator.reset(seed=1)
    cut = [simulator.step(np.zeros(3, np.int64))[3] for _ in range(1001)]
    assert [step for step, where in enumerate(cut, 1) if where.all()] == [500, 1000]
    assert sum(int(where.sum()) for where in cut) == 6


def test_the_same_seed_gives_the_same_stays(example: SimpleNamespace, project: Path) -> None:
    def play(seed: int) -> list[list[int]]:
        simulator = example.icu_sepsis_sim.IcuSepsis(16, project / "tables.npz")
        first, _ = simulator.reset(seed=seed)
        return [first.tolist(), *(simulator.step(np.full(16, 7))[0].tolist() for _ in range(30))]

    assert play(4) == play(4)
    assert play(4) != play(5)
