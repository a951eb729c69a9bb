"""Tries a simulator before any agent learns in it. It runs someone else's code: nowhere but inside a fence.

`inspect` is what admission asks: it ends at the first flaw. `check` is what a simulator's author asks: it goes on as
far as it can, and has Gymnasium's own checker look too, which is stricter than what the platform relies on.
"""

from __future__ import annotations

import hashlib
import logging
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ringfence_workload import requirements
from ringfence_workload.hosting import Hosted
from ringfence_workload.simulator_host import Project, blamed, factory_of, host, unpack
from ringfence_workload.task import Job, Result, TaskError
from ringfence_workload.trial_values import draw, require_batch, require_members, require_single
from ringfence_workload.wire import spaces
from ringfence_workload.wire.channel import Batch

ENVS, STEPS, SEED = 2, 200, 1
# What is tried until an episode has ended, and to see whether memory grows.
MOST_STEPS, MOST_SECONDS = 2000, 2.0
GROWN, PAGE = 32 << 20, resource.getpagesize()
OTHER_NUMBERS = (1, 5)


@dataclass(frozen=True)
class Check:
    """One thing that was tried: `ok`, `warning`, or `failed` with the code, the reason and the way out."""

    name: str
    state: str
    detail: str
    code: str = ""
    fix: str = ""
    field: str = ""
    value: str = ""


@dataclass
class Trial:
    """A project under trial, and what was found so far. `replay` is the digest of a rollout from SEED."""

    project: Project
    hosted: Hosted | None = None
    replay: str = ""
    step_microseconds: float = 0.0
    memory_bytes: int = 0
    ended: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def ready(self) -> Hosted:
        """The hosted simulator, once its spaces were found."""
        assert self.hosted is not None
        return self.hosted

    def values(self) -> dict[str, Any]:
        """Return what admission records."""
        project, hosted = self.project, self.ready
        return {"name": project.name, "version": project.version, "vector": project.vector,
                "observation_space": spaces.to_json(hosted.observation), "action_space": spaces.to_json(hosted.action),
                "baselines": list(project.baselines), "licences": list(project.licences),
                "requirements": list(project.requirements), "step_microseconds": self.step_microseconds,
                "memory_bytes": self.memory_bytes, "replay": self.replay}


def inspect(job: Job) -> Result:
    """Try a bundle and describe it.

    Values: name, version, vector, observation_space, action_space, baselines, licences, requirements,
    step_microseconds (one step of one environment), memory_bytes (peak), replay (digest of a seeded rollout).
    Raises TaskError, `simulator.*`, at the first flaw.
    """
    trial = Trial(unpack(job.inputs["bundle"]))
    for _, attempt in RELIED_ON:
        attempt(trial)
    return Result(trial.values())


def replay(job: Job) -> Result:
    """Roll a bundle out from the seed that `inspect` used: in another process, the digest must be the same."""
    project = unpack(job.inputs["bundle"])
    with blamed("it was tried"):
        rollout = _rollout(host(project, ENVS), STEPS)
    return Result({"replay": rollout.digest})


def check(job: Job) -> Result:
    """Try all that can be tried. Values: checks, and `simulator`: as of `inspect`, or null."""
    done: list[Check] = []
    try:
        trial = Trial(unpack(job.inputs["bundle"]))
    except TaskError as error:
        return Result({"checks": [asdict(_failed("manifest", error))], "simulator": None})
    for name, attempt in (*RELIED_ON, *ADVISED):
        trial.warnings.clear()
        try:
            detail = attempt(trial)
            state = "warning" if trial.warnings else "ok"
            done.append(Check(name, state, "; ".join([detail, *trial.warnings])[:1500]))
        except TaskError as error:
            done.append(_failed(name, error))
            if trial.hosted is None:
                break
        job.progress(len(done) / (len(RELIED_ON) + len(ADVISED)), name)
    values = trial.values() if trial.hosted else None
    return Result({"checks": [asdict(one) for one in done], "simulator": values})


def _failed(name: str, error: TaskError) -> Check:
    return Check(name, "failed", error.message, error.code, error.fix, error.field, error.value)


def _requirements(trial: Trial) -> str:
    met = requirements.require(trial.project.requirements)
    return ", ".join(met) or "none beyond the workload environment"


def _spaces(trial: Trial) -> str:
    with blamed("it was tried"):
        trial.hosted = host(trial.project, ENVS)
    return f"observes {_text(trial.ready.observation)}, acts in {_text(trial.ready.action)}"


def _text(spec: spaces.SpaceSpec) -> str:
    return f"Discrete({spec.n})" if spec.kind == "Discrete" else f"{spec.kind}{list(spec.shape)} {spec.dtype}"


def _replay(trial: Trial) -> str:
    with blamed("it was tried"):
        first = _rollout(trial.ready, STEPS)
        fresh = _rollout(host(trial.project, ENVS), STEPS)
        again = _rollout(trial.ready, STEPS)
    if first.digest != fresh.digest:
        raise _differs("Two rollouts from the same seed and actions differ.",
                       "Draw every random number from self.np_random, which reset(seed=...) seeds.")
    if first.digest != again.digest:
        raise _differs("After reset(seed=...) a simulator that was used before behaves otherwise than a new one.",
                       "Let reset(seed=...) put back all that an episode changes, its random numbers included.")
    trial.replay, trial.ended = first.digest, first.ended
    trial.step_microseconds = round(first.seconds / (STEPS * ENVS) * 1e6, 2)
    return f"{STEPS} steps from one seed, three times, bit for bit"


def _differs(message: str, fix: str) -> TaskError:
    return TaskError("simulator.not_reproducible", message, fix=fix, field="reset")


def _types(trial: Trial) -> str:
    make, observation, action = factory_of(trial.project), trial.ready.observation, trial.ready.action
    with blamed("its values were looked at"):
        if trial.project.vector:
            require_batch(make(ENVS), ENVS, observation, action)
        else:
            require_single(make(), observation)
    return "observations, rewards and flags have the types and shapes that the spaces promise"


def _autoreset(trial: Trial) -> str:
    before, began = _resident(), time.monotonic()
    with blamed("it was tried at length"):
        longer = _rollout(trial.ready, MOST_STEPS, seconds=MOST_SECONDS)
    grown = _resident() - before
    if grown > GROWN:
        trial.warnings.append(f"memory grew by {grown >> 20} MiB in {longer.steps} steps: does it keep its episodes?")
    if not longer.ended:
        trial.warnings.append(f"no episode ended in {longer.steps} steps ({time.monotonic() - began:.1f} s), so its "
                              "end was not seen: give it a time limit")
    return f"{longer.ended} episodes ended in {longer.steps} steps, each last observation handed over"


def _numbers(trial: Trial) -> str:
    if not trial.project.vector:
        return "one environment each; the platform hosts as many as a run asks for"
    make = factory_of(trial.project)
    for number in OTHER_NUMBERS:
        with blamed(f"it was asked for {number} environments"):
            require_batch(make(number), number, trial.ready.observation, trial.ready.action, steps=3)
    return f"works with {OTHER_NUMBERS[0]}, {ENVS} and {OTHER_NUMBERS[1]} environments"


def _step_time(trial: Trial) -> str:
    return f"{trial.step_microseconds:,.1f} microseconds for a step of one environment"


def _memory(trial: Trial) -> str:
    trial.memory_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return f"{trial.memory_bytes / (1 << 20):,.0f} MiB at most, Python and its libraries included"


def _gymnasium(trial: Trial) -> str:
    from gymnasium.utils import env_checker

    if trial.project.vector:
        return "it has no checker for a VectorEnv; the others cover it"
    logging.getLogger("gymnasium").setLevel(logging.ERROR)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            env_checker.check_env(factory_of(trial.project)().unwrapped, skip_render_check=True, skip_close_check=True)
        except Exception as error:
            raise TaskError("simulator.gymnasium", f"gymnasium.utils.env_checker.check_env refuses it: {error}"[:1500],
                            fix="Mend what it names; run check_env on the environment to try again.") from error
    trial.warnings += [_plain(str(one.message)) for one in caught if "gymnasium" in str(one.filename)][:5]
    return "gymnasium.utils.env_checker.check_env passes"


def _plain(text: str) -> str:
    return text.replace("\x1b[33m", "").replace("\x1b[0m", "").removeprefix("WARN: ")[:300]


Attempt = Callable[[Trial], str]
RELIED_ON: tuple[tuple[str, Attempt], ...] = (
    ("requirements", _requirements), ("spaces", _spaces), ("seeded replay", _replay), ("types and shapes", _types),
    ("number of environments", _numbers), ("end of an episode", _autoreset), ("step time", _step_time),
    ("memory", _memory))
ADVISED: tuple[tuple[str, Attempt], ...] = (("Gymnasium's checker", _gymnasium),)


@dataclass(frozen=True)
class Rollout:
    """Random steps from SEED: the digest of all that was seen, the seconds spent in steps, the episodes that ended."""

    digest: str
    steps: int
    seconds: float
    ended: int


def _rollout(hosted: Hosted, steps: int, seconds: float = float("inf")) -> Rollout:
    """Take random steps, at most `steps` and about `seconds`; stop early where `seconds` is given and one ended."""
    batch, checks = Batch.empty(hosted.observation, ENVS), spaces.Checker(hosted.observation)
    random, seen = np.random.default_rng(0), hashlib.sha256()
    hosted.reset(SEED, batch)
    seen.update(batch.observations.tobytes())
    require_members(checks, hosted.observation, batch.observations, 0)
    spent, ended, step = 0.0, 0, 0
    for step in range(1, steps + 1):
        actions = draw(random, hosted.action, ENVS)
        began = time.perf_counter()
        hosted.step(actions, batch)
        spent += time.perf_counter() - began
        ended += _looked_at(batch, checks, hosted, step, seen)
        if spent > seconds:
            break
    return Rollout(f"sha256:{seen.hexdigest()}", step, spent, ended)


def _looked_at(batch: Batch, checks: spaces.Checker, hosted: Hosted, step: int, seen: Any) -> int:
    """Check one step's values, add them to the digest, and return how many episodes ended."""
    require_members(checks, hosted.observation, batch.observations, step)
    if not np.isfinite(batch.rewards).all():
        raise TaskError("simulator.not_finite", f"A reward is {batch.rewards[~np.isfinite(batch.rewards)][0]} at step "
                        f"{step}.", field="reward", fix="Return finite rewards.")
    over = np.logical_or(batch.terminated, batch.truncated)
    if over.any():
        require_members(checks, hosted.observation, batch.finals[over], step)
        seen.update(batch.finals[over].tobytes())
    for array in (batch.observations, batch.rewards, batch.terminated, batch.truncated):
        seen.update(array.tobytes())
    return int(over.sum())


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
