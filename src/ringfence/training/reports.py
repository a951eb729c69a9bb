"""What a learner or an evaluator says of itself, checked before it is believed or kept. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.errors import WorkloadError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,63}")
MAX_NAMES = 64
CLOCK_SLACK = 1.0
INTERVAL = ("mean", "ci_low", "ci_high")


@dataclass(frozen=True)
class Learned:
    """How much was learned from, and how fast; `extra` holds further groups of numbers (`estimate`)."""

    steps: int
    seconds: float
    behaviour_value: dict[str, Any] | None
    extra: dict[str, dict[str, float]]

    @property
    def steps_per_second(self) -> float:
        """Return steps by seconds of learning."""
        return self.steps / self.seconds


def learned(values: Mapping[str, Any], wall_seconds: float, least_steps: int) -> Learned:
    """Check a learner's figures against the keeper's own clock.

    Raises:
        WorkloadError: `workload.misreported`.
    """
    steps, seconds = values.get("steps"), values.get("seconds")
    if type(steps) is not int or steps < max(1, least_steps):
        raise _bad("steps", f"it reports {steps} steps, at least {max(1, least_steps)} were asked for")
    if not _number(seconds) or not 0 < float(seconds or 0) <= wall_seconds + CLOCK_SLACK:
        raise _bad("seconds", f"it reports {seconds} s of learning, it ran for {wall_seconds:.1f} s")
    behaviour = values.get("behaviour_value")
    extra = {name: numbers(group) for name, group in values.items() if isinstance(group, Mapping)
             and name != "behaviour_value" and _NAME.fullmatch(name)}
    return Learned(steps, float(seconds or 0), None if behaviour is None else interval("behaviour_value", behaviour),
                   extra)


def scores(values: Mapping[str, Any], names: Collection[str], episodes: int) -> dict[str, dict[str, Any]]:
    """Return the interval of each agent that was to be judged, over at least `episodes` episodes.

    Raises:
        WorkloadError: `workload.misreported`.
    """
    agents = values.get("agents")
    if not isinstance(agents, Mapping) or set(agents) != set(names):
        raise _bad("agents", f"it does not report exactly {', '.join(sorted(names))}")
    found = {name: interval(name, agents[name]) for name in names}
    for name, score in found.items():
        if score["episodes"] < episodes:
            raise _bad(name, f"it reports {score['episodes']} episodes, {episodes} were asked for")
    return found


def interval(name: str, score: Any) -> dict[str, Any]:
    """Return a mean with its interval and number of episodes.

    Raises:
        WorkloadError: `workload.misreported`.
    """
    if not isinstance(score, Mapping) or not all(_number(score.get(part)) for part in INTERVAL):
        raise _bad(name, "it reports no finite mean and interval")
    mean, low, high = (float(score[part]) for part in INTERVAL)
    episodes = score.get("episodes")
    if type(episodes) is not int or episodes < 1 or not low <= mean <= high:
        raise _bad(name, "its mean lies outside its interval, or it counts no episodes")
    return {"mean": mean, "ci_low": low, "ci_high": high, "episodes": episodes}


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers among `values`, at most MAX_NAMES, under names that are safe to show."""
    kept = [(name, value) for name, value in values.items()
            if isinstance(name, str) and _NAME.fullmatch(name) and _number(value)]
    return {name: value if type(value) is int else float(value) for name, value in kept[:MAX_NAMES]}


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e300


def _bad(field: str, problem: str) -> WorkloadError:
    return WorkloadError("workload.misreported", f"The workload's report can't be believed: {problem}.", field=field,
                         fix="Look into the learner's or the simulator's log.")
