"""Learn from logged steps alone: estimate the process by counting, plan with pessimism, and value who acted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ringfence_workload.intervals import mean_interval
from ringfence_workload.learner import planner
from ringfence_workload.learner.export import tabular_agent
from ringfence_workload.learner.hyperparameters import require_known, require_number
from ringfence_workload.task import Job, Result, TaskError
from ringfence_workload.wire import memory

ROLES = ("episode", "state", "action", "next_state", "reward")
ALGORITHM = "pessimistic-value-iteration"
MAX_BYTES = 4 << 30
MAX_PAIRS = 20_000_000


def learn(job: Job) -> Result:
    """Task `learn.offline`: input `data` (sealed Arrow IPC file); parameters columns {role: name}, hyperparameters
    {penalty, min_count, discount}, and where the simulator is known its observation_space and action_space.

    Raises:
        TaskError: `hyperparameter.*`, `learner.*`, `planner.*`.
    """
    started = time.perf_counter()
    settings = _settings(job.parameters)
    log = _read(job.inputs["data"], job.parameters["columns"])
    observation, action = _spaces(job.parameters, log)
    counts = planner.count(log, (observation["n"], action["n"]))

    def report(sweep: int, value: float) -> None:
        if sweep % 10 == 1:
            job.metric(sweep, {"pessimistic_value": value})

    plan = planner.plan(counts, on_sweep=report, **settings)
    seconds = time.perf_counter() - started
    values = {"steps": len(log.state), "seconds": seconds, "steps_per_second": len(log.state) / seconds,
              "behaviour_value": mean_interval(log.returns()),
              "estimate": {"pessimistic_value": plan.pessimistic, "model_value": plan.believed, "sweeps": plan.sweeps},
              "support": planner.support(counts, plan, settings["min_count"])}
    chances = np.eye(action["n"])[plan.actions]
    return Result(values, tabular_agent(chances, "deterministic", observation, action))


def _settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    given = parameters.get("hyperparameters", {})
    require_known(given, ("penalty", "min_count", "discount"), ALGORITHM)
    return {"penalty": require_number(given, "penalty", 0.1, 0.0, 1e9),
            "min_count": int(require_number(given, "min_count", 5, 1, 1e9)),
            "discount": require_number(given, "discount", 1.0, 0.0, 1.0)}


def _read(descriptor: int, columns: Mapping[str, str]) -> planner.Log:
    with memory.mapped(descriptor) as view:
        table = pl.read_ipc(bytes(view))
    for role in ROLES:
        if columns.get(role) not in table.columns:
            raise TaskError("learner.column_missing", f"The run's data has no column for the {role} of a step.",
                            fix=f"Name a granted column under data.columns.{role}.", field=f"data.columns.{role}",
                            value=str(columns.get(role, "")))
    if not len(table):
        raise TaskError("learner.no_data", "The run's data holds no steps.", fix="Name a dataset version with rows.")
    episodes = table[columns["episode"]]
    if episodes.n_unique() < 2 or episodes.null_count():
        raise TaskError("learner.too_few_episodes", "The run's data holds a single episode, or steps of none.",
                        fix="Learn from at least two episodes, and name the column that numbers them.",
                        field="data.columns.episode", value=columns["episode"])
    state, action, next_state = (_integers(table[columns[role]], role) for role in ("state", "action", "next_state"))
    numbers: NDArray[np.int64] = episodes.rank("dense").cast(pl.Int64).to_numpy() - 1
    return planner.Log(numbers, state, action, next_state, _numbers(table[columns["reward"]]))


def _integers(column: pl.Series, role: str) -> NDArray[np.int64]:
    if not column.dtype.is_integer() or column.null_count() or (column < 0).any():
        raise TaskError("learner.not_discrete", f"The column {column.name} must hold integers from 0, none missing.",
                        fix="Keep it as `type: integer` in the dataset's declaration, numbered from 0.",
                        field=f"data.columns.{role}", value=column.name)
    values: NDArray[np.int64] = column.cast(pl.Int64).to_numpy()
    return values


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    values = column.cast(pl.Float64, strict=False)
    if not column.dtype.is_numeric() or values.null_count() or not values.is_finite().all():
        raise TaskError("learner.not_numeric", f"The column {column.name} must hold finite numbers, none missing.",
                        fix="Keep it as `type: number` in the dataset's declaration.", field="data.columns.reward",
                        value=column.name)
    numbers: NDArray[np.float64] = values.to_numpy()
    return numbers


def _spaces(parameters: Mapping[str, Any], log: planner.Log) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the observation and action space: the simulator's where given, else as large as the data shows."""
    observation = _space(parameters.get("observation_space"), int(max(log.state.max(), log.next_state.max())), "state")
    action = _space(parameters.get("action_space"), int(log.action.max()), "action")
    if observation["n"] * action["n"] > MAX_PAIRS:
        raise TaskError("learner.too_many_states", f"{observation['n']} states and {action['n']} actions are too many "
                        f"for a table.", fix="Number states and actions without gaps, or learn in a simulator.",
                        field="data.columns.state", value=str(observation["n"]))
    return observation, action


def _space(given: Mapping[str, Any] | None, largest: int, role: str) -> dict[str, Any]:
    space: dict[str, Any] = {"type": "Discrete", "n": largest + 1, "start": 0} if given is None else dict(given)
    if space["type"] != "Discrete" or space.get("start", 0) != 0 or space["n"] <= largest:
        raise TaskError("learner.space_mismatch", f"The data's {role}s don't fit the simulator's space.",
                        fix=f"Planning needs {role}s numbered as in the simulator, Discrete from 0.",
                        field=f"data.columns.{role}", value=str(space["type"]))
    return space
