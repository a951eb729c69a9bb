"""A run's specification: what a user writes, validated into frozen values, each mistake named with its way out."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.errors import InvalidError
from ringfence.training import strict_yaml

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NUMBER_LIKE = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+")
MAX_SEED = 2**32 - 1
MAX_STEPS = 10**12
MAX_EPISODES = 10**8
MAX_ENVIRONMENTS = 4096


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
    """One training run. `data` or `simulator` is set, as the learner wants it; `steps` is 0 for data."""

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
    evaluation: EvaluationSpec
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
    return from_document(strict_yaml.load(text, "The run's specification"))


def from_document(document: Mapping[str, Any]) -> RunSpec:
    """Return the specification that a document's values are.

    Raises:
        InvalidError: as `parse`.
    """
    top = Fields(document, "")
    if (kind := top.text("kind")) != "TrainingRun":
        raise wrong("kind", kind, "is not TrainingRun", "Write kind: TrainingRun.")
    library, algorithm, hyperparameters = _learner(top.fields("learner"))
    learner = LEARNERS[library, algorithm]
    name = top.name("name")
    top.optional_text("description")
    from_data = learner.source == "data"
    spec = RunSpec(
        name=name, model=top.name("model", default=name), library=library, algorithm=algorithm,
        hyperparameters=hyperparameters, seed=top.integer("seed", 0, MAX_SEED),
        data=_data(top.fields("data"), learner) if from_data else None,
        simulator="" if from_data else top.text("simulator"),
        num_envs=0 if from_data else top.integer("num_envs", 1, MAX_ENVIRONMENTS, default=8),
        steps=0 if from_data else _steps(top.fields("budget")),
        evaluation=_evaluation(top.fields("evaluation")), document=document)
    top.require_all_used(f"{library} {algorithm} learns from {'data' if from_data else 'a simulator'}")
    return spec


def _learner(fields: Fields) -> tuple[str, str, dict[str, Any]]:
    library = fields.one_of("library", sorted({library for library, _ in LEARNERS}))
    algorithm = fields.one_of("algorithm", sorted(name for owner, name in LEARNERS if owner == library))
    hyperparameters = fields.mapping("hyperparameters", default={})
    for path, value in _leaves(hyperparameters, "learner.hyperparameters"):
        if isinstance(value, float) and not math.isfinite(value):
            raise wrong(path, str(value), "is not a finite number", "Give a finite number.")
        if isinstance(value, str) and _NUMBER_LIKE.fullmatch(value):
            raise wrong(path, value, "is a text to YAML, not a number", "Write it with a decimal point, as in 1.0e-3.")
    fields.require_all_used()
    return library, algorithm, hyperparameters


def _data(fields: Fields, learner: Learner) -> DataSpec:
    columns = fields.mapping("columns")
    for role in columns:
        if role not in learner.roles:
            raise wrong(f"data.columns.{role}", role, "is no role that this learner knows", hint(role, learner.roles))
    for role in learner.roles:
        if not isinstance(columns.get(role), str) or not columns[role]:
            raise wrong(f"data.columns.{role}", str(columns.get(role, "")), "does not name a column",
                        f"Name the column that holds the {role.replace('_', ' ')}.")
    spec = DataSpec(fields.text("dataset"), fields.text("purpose"), columns)
    fields.require_all_used()
    return spec


def _steps(fields: Fields) -> int:
    steps = fields.integer("steps", 1, MAX_STEPS)
    fields.require_all_used()
    return steps


def _evaluation(fields: Fields) -> EvaluationSpec:
    agents = fields.names("agents", default=("random",))
    if "agent" in agents:
        raise wrong("evaluation.agents", "agent", "is judged always", "Name only whom to compare it with.")
    spec = EvaluationSpec(fields.text("simulator"), fields.integer("episodes", 2, MAX_EPISODES), agents,
                          fields.integer("num_envs", 0, MAX_ENVIRONMENTS, default=0))
    fields.require_all_used()
    return spec


class Fields:
    """One mapping of a document, read field by field; what nobody asked for is a mistake of the writer."""

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self._values, self._path = values, path
        self._asked: list[str] = []

    def require_all_used(self, because: str = "") -> None:
        """Refuse a field that is not known here."""
        for name in self._values:
            if name not in self._asked:
                problem = f"is not a field here{f': {because}' if because else ''}"
                raise wrong(self._full(name), name, problem, hint(name, self._asked))

    def fields(self, name: str) -> Fields:
        """Return a required mapping as Fields."""
        return Fields(self.mapping(name), self._full(name))

    def mapping(self, name: str, default: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a mapping."""
        value = self._get(name, default)
        if not isinstance(value, Mapping):
            raise wrong(self._full(name), str(value), "is not a mapping", f"Write its fields under {name}:.")
        return dict(value)

    def text(self, name: str) -> str:
        """Return a required text of at most 200 characters."""
        value = self._get(name, None)
        if not isinstance(value, str) or not 0 < len(value) <= 200:
            raise wrong(self._full(name), str(value), "is not a text of 1 to 200 characters", "Put it in quotes.")
        return value

    def optional_text(self, name: str) -> str:
        """Return a text, or an empty one when it does not stand there."""
        return self.text(name) if name in self._values else ""

    def name(self, name: str, default: str = "") -> str:
        """Return a name of lower-case letters, digits and ._-."""
        value = self._get(name, default or None)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise wrong(self._full(name), str(value), "is not a name",
                        "Use up to 63 lower-case letters, digits, dots, hyphens and underscores.")
        return value

    def names(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return a list of distinct names."""
        values = self._get(name, list(default))
        if not isinstance(values, list) or len(values) > 32 or not all(isinstance(item, str) for item in values):
            raise wrong(self._full(name), str(values), "is not a list of at most 32 names", f"Write {name}: [random].")
        if len(set(values)) != len(values):
            raise wrong(self._full(name), str(values), "names one twice", "Name each once.")
        return tuple(values)

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number from `low` to `high`."""
        value = self._get(name, default)
        if type(value) is not int or not low <= value <= high:
            raise wrong(self._full(name), str(value), "is not a whole number that fits",
                        f"Give a whole number from {low} to {high}, without quotes or decimal point.")
        return value

    def one_of(self, name: str, choices: Iterable[str]) -> str:
        """Return one of `choices`."""
        value, known = self.text(name), list(choices)
        if value not in known:
            raise wrong(self._full(name), value, "is not known", hint(value, known))
        return value

    def _get(self, name: str, default: Any) -> Any:
        self._asked.append(name)
        value = self._values.get(name)
        if value is not None:
            return value
        if default is None:
            near = difflib.get_close_matches(name, [key for key in self._values if key not in self._asked], 1)
            fix = f"Did you mean {name} where {near[0]} stands?" if near else f"Add {self._full(name)}."
            raise InvalidError("spec.missing", f"{self._full(name)} is missing.", field=self._full(name), fix=fix)
        return default

    def _full(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def wrong(field: str, value: str, problem: str, fix: str) -> InvalidError:
    """Return the error for a field whose value can't be taken."""
    shown = value[:80]
    return InvalidError("spec.invalid", f"{field}: {shown!r} {problem}.", field=field, value=shown, fix=fix)


def hint(value: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest of `known`, or all of them."""
    choices = sorted(set(known))
    near = difflib.get_close_matches(value, choices, 1, 0.5)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Known are: {', '.join(choices)}." if choices else "None is known here."


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]")
    else:
        yield path, value
