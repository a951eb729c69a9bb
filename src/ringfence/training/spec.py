"""A run's specification: what a user writes, validated into frozen values, each mistake named with its way out."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence import documents
from ringfence.documents import Fields, nearest
from ringfence.errors import InvalidError

NOUN = "spec"
_NUMBER_LIKE = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+")
MAX_SEED = 2**32 - 1
MAX_STEPS = 10**12
MAX_EPISODES = 10**8
MAX_ENVIRONMENTS = 4096
MAX_AGENTS = 32


@dataclass(frozen=True)
class Learner:
    """A learner that can be asked for: its task, the environment it runs in, and what it learns from."""

    task: str
    environment: str
    source: str  # "data" or "simulator"
    roles: tuple[str, ...] = ()


LEARNERS: Mapping[tuple[str, str], Learner] = {
    ("ringfence", "pessimistic-value-iteration"): Learner(
        "learn.offline", "base", "data", ("episode", "state", "action", "next_state", "reward")),
    ("sb3", "PPO"): Learner("learn.sb3", "sb3", "simulator"),
}


@dataclass(frozen=True)
class DataSpec:
    """The data a run is granted: `columns` maps a learner's role to a column's name."""

    dataset: str
    purpose: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class EvaluationSpec:
    """How the agent is judged, and beside whom. `num_envs` 0: as many as suit the simulator."""

    simulator: str
    episodes: int
    agents: tuple[str, ...]
    num_envs: int


@dataclass(frozen=True)
class RunSpec:
    """One training run. `data` or `simulator` is set, as the learner wants it; `steps` is 0 for data.

    `evaluation` may be missing for a learner from data: who has logs alone has no simulator to judge in.
    """

    name: str
    model: str
    library: str
    algorithm: str
    hyperparameters: Mapping[str, Any]
    seed: int
    data: DataSpec | None
    simulator: str
    num_envs: int
    steps: int
    evaluation: EvaluationSpec | None
    document: Mapping[str, Any]

    @property
    def learner(self) -> Learner:
        """Return the learner that the specification asks for."""
        return LEARNERS[self.library, self.algorithm]

    @property
    def digest(self) -> str:
        """Return the digest of the specification's values (not of their layout)."""
        text = json.dumps(self.document, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def parse(text: str) -> RunSpec:
    """Read a run's specification.

    Raises:
        InvalidError: it can't be read, or a field is unknown, missing or wrong; `field` is its path.
    """
    return from_document(documents.load(text, NOUN).values)


def from_document(document: Mapping[str, Any]) -> RunSpec:
    """Return the specification that a document's values are.

    Raises:
        InvalidError: as `parse`.
    """
    top = Fields(NOUN, document)
    top.one_of("kind", ["TrainingRun"])
    name = top.name("name")
    model = top.name("model") if top.has("model") else name
    if top.has("description"):
        top.text("description")
    library, algorithm, hyperparameters = _learner(top.fields("learner"))
    learner = LEARNERS[library, algorithm]
    seed = top.integer("seed", 0, MAX_SEED)
    judged = learner.source == "simulator" or top.has("evaluation")
    evaluation = _evaluation(top.fields("evaluation")) if judged else None
    simulator, num_envs, steps, data = "", 0, 0, None
    if learner.source == "data":
        data = _data(top.fields("data"), learner)
    else:
        simulator, steps = top.text("simulator"), _steps(top.fields("budget"))
        num_envs = _integer(top, "num_envs", 1, MAX_ENVIRONMENTS, 8)
    top.require_all_used()
    return RunSpec(name, model, library, algorithm, hyperparameters, seed, data, simulator, num_envs, steps, evaluation,
                   document)


def _learner(fields: Fields) -> tuple[str, str, dict[str, Any]]:
    library = fields.one_of("library", sorted({library for library, _ in LEARNERS}))
    algorithm = fields.one_of("algorithm", sorted(name for owner, name in LEARNERS if owner == library))
    hyperparameters = fields.get("hyperparameters") if fields.has("hyperparameters") else {}
    if not isinstance(hyperparameters, dict):
        raise fields.wrong("hyperparameters", hyperparameters, "is not a mapping", "Write name: value under it.")
    for path, value in _leaves(hyperparameters, "hyperparameters"):
        if isinstance(value, float) and not math.isfinite(value):
            raise fields.wrong(path, value, "is not a finite number", "Give a finite number.")
        if isinstance(value, str) and _NUMBER_LIKE.fullmatch(value):
            raise fields.wrong(path, value, "is a text to YAML, not a number", "Write a decimal point, as in 1.0e-3.")
    fields.require_all_used()
    return library, algorithm, hyperparameters


def _data(fields: Fields, learner: Learner) -> DataSpec:
    columns = fields.fields("columns")
    # Those that stand there first, so that what is missing is not looked for among them.
    granted = {role: columns.text(role) for role in sorted(learner.roles, key=lambda role: not columns.has(role))}
    columns.require_all_used()
    spec = DataSpec(fields.text("dataset"), fields.text("purpose"), granted)
    fields.require_all_used()
    return spec


def _steps(fields: Fields) -> int:
    steps = fields.integer("steps", 1, MAX_STEPS)
    fields.require_all_used()
    return steps


def _evaluation(fields: Fields) -> EvaluationSpec:
    agents = fields.texts("agents") if fields.has("agents") else ("random",)
    if "agent" in agents or len(agents) > MAX_AGENTS:
        raise fields.wrong("agents", list(agents), f"is not a list of at most {MAX_AGENTS} baselines",
                           "The trained agent is judged always: name only whom to compare it with.")
    spec = EvaluationSpec(fields.text("simulator"), fields.integer("episodes", 2, MAX_EPISODES), agents,
                          _integer(fields, "num_envs", 1, MAX_ENVIRONMENTS, 0))
    if spec.num_envs > spec.episodes:
        raise fields.wrong("num_envs", spec.num_envs, "is more than the episodes",
                           "Ask for at least one episode in each environment.")
    fields.require_all_used()
    return spec


def _integer(fields: Fields, name: str, low: int, high: int, default: int) -> int:
    return fields.integer(name, low, high) if fields.has(name) else default


def wrong(field: str, value: str, problem: str, known: Iterable[str]) -> InvalidError:
    """Return the error for a field that names what is not there, with the nearest of `known`."""
    return Fields(NOUN, {}).wrong(field, value, problem, nearest(value, known))


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]")
    else:
        yield path, value
