"""Serves one trained agent: observations in, actions out, over the control connection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence_workload import agent as agents
from ringfence_workload.task import Job, Result, TaskError
from ringfence_workload.wire.messages import PeerGoneError
from ringfence_workload.wire.spaces import Checker, SpaceSpec, to_json

MAX_BATCH = 4096


def serve(job: Job) -> Result:
    """Task `agent.serve`: inputs agent.json, agent.safetensors; parameters seed (optional, of a stochastic agent).

    After `ready` each message {"observations": [...]} is answered with {"actions": [...]}, or with
    {"error": {code, message, fix, field, value}} where it can't be taken. Ends when the keeper hangs up.
    """
    agent = agents.load_inputs(job.inputs)
    random = np.random.default_rng(job.parameters.get("seed"))
    checker = Checker(agent.observation_space)
    job.ready({"observation_space": to_json(agent.observation_space), "action_space": to_json(agent.action_space)})
    answered = 0
    while True:
        try:
            message = job.connection.receive()
            message.close()
            job.connection.send(answer(agent, message.body, checker, random))
            answered += 1
        except PeerGoneError:
            return Result({"answered": answered})


def answer(agent: agents.Agent, body: dict[str, Any], checker: Checker, random: np.random.Generator) -> dict[str, Any]:
    """Return the actions for one request, or its error; never raises on what a caller sent."""
    try:
        observations = _observations(body.get("observations"), agent.observation_space, checker)
    except TaskError as error:
        return {"error": {"code": error.code, "message": error.message, "fix": error.fix, "field": error.field,
                          "value": error.value}}
    return {"actions": agent.act(observations, random).tolist()}


def _observations(given: Any, space: SpaceSpec, checker: Checker) -> NDArray[Any]:
    """Return checked (N, *shape) observations of the space's dtype.

    Raises:
        TaskError: `observations.malformed`, `observations.too_many`, `observations.outside_space`.
    """
    expected = f"Send a list of observations, each of the space {to_json(space)}."
    if not isinstance(given, list) or not given:
        raise TaskError("observations.malformed", "The request has no observations.", fix=expected,
                        field="observations")
    if len(given) > MAX_BATCH:
        raise TaskError("observations.too_many", f"{len(given)} observations are over the limit of {MAX_BATCH}.",
                        fix="Send them in several requests.", field="observations", value=str(len(given)))
    try:
        loose = np.asarray(given)
    except (ValueError, OverflowError):
        loose = np.empty(0)
    wanted = np.dtype(space.dtype)
    if loose.shape != (len(given), *space.shape) or loose.dtype.kind not in ("if" if wanted.kind == "f" else "i"):
        raise TaskError("observations.malformed", "The observations are not numbers of the right shape and type.",
                        fix=expected, field="observations")
    # Checked before the cast as well: a cast to the space's type could wrap a number that is out of range into it.
    if not checker.holds(loose) or not checker.holds(observations := loose.astype(wanted)):
        raise TaskError("observations.outside_space", "An observation is not in the agent's observation space.",
                        fix=expected, field="observations")
    return observations
