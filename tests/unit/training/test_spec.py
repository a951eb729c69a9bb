"""Specifications: the examples are taken, and each mistake is named with its way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis.strategies import booleans, dictionaries, floats, integers, lists, none, recursive, text

from ringfence.errors import InvalidError
from ringfence.training.spec import from_document, parse
from tests.run_platform import OFFLINE, ONLINE

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/icu_sepsis/runs"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_taken(path: Path) -> None:
    spec = parse(path.read_text())
    assert spec.learner.task in ("learn.offline", "learn.sb3")


def test_what_is_left_out_has_a_default() -> None:
    spec = parse(ONLINE)
    assert (spec.model, spec.num_envs, spec.evaluation.num_envs, spec.steps) == ("walk-online", 4, 0, 2000)
    assert spec.data is None
    offline = parse(OFFLINE)
    assert (offline.simulator, offline.steps) == ("", 0)
    assert offline.data is not None


def test_layout_does_not_change_the_digest_and_values_do() -> None:
    document = yaml.safe_load(OFFLINE)
    assert parse(yaml.safe_dump(document, default_flow_style=True)).digest == parse(OFFLINE).digest
    assert from_document({**document, "seed": 4}).digest != parse(OFFLINE).digest


def test_a_stored_document_is_the_same_specification() -> None:
    text = ONLINE.replace("0.05", "0.00001")  # which JSON writes as 1e-05
    import json

    spec = parse(text)
    assert from_document(json.loads(json.dumps(spec.document))) == spec


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    if rest:
        return {**document, head: changed(document[head], rest, value)}
    return {name: item for name, item in {**document, head: value}.items() if item is not ...}


MISTAKES: list[tuple[str, str, Any, str, str]] = [
    (OFFLINE, "kind", "Training", "kind", "TrainingRun"),
    (OFFLINE, "name", "Walk Offline", "name", "lower-case"),
    (OFFLINE, "name", ..., "name", "Add name"),
    (OFFLINE, "seed", "3", "seed", "from 0 to"),
    (OFFLINE, "seed", True, "seed", ""),
    (OFFLINE, "seed", -1, "seed", "0"),
    (OFFLINE, "sede", 3, "sede", "Did you mean seed?"),
    (OFFLINE, "learner", "sb3", "learner", ""),
    (OFFLINE, "learner.library", "ringfense", "learner.library", "Did you mean ringfence?"),
    (OFFLINE, "learner.algorithm", "PPO", "learner.algorithm", "pessimistic-value-iteration"),
    (OFFLINE, "learner.hyperparameters", [1], "learner.hyperparameters", ""),
    (OFFLINE, "learner.hyperparameters", {"penalty": float("nan")}, "learner.hyperparameters.penalty", "finite"),
    (OFFLINE, "learner.hyperparameters", {"penalty": "1e-3"}, "learner.hyperparameters.penalty", "decimal point"),
    (OFFLINE, "data", ..., "data", "Add data"),
    (OFFLINE, "data.datset", "walks", "data.datset", "Did you mean dataset?"),
    (OFFLINE, "data.columns.state", ..., "data.columns.state", "Add data.columns.state"),
    (OFFLINE, "data.columns.reward", 7, "data.columns.reward", ""),
    (OFFLINE, "data.columns.rewards", "reward", "data.columns.rewards", "Did you mean reward?"),
    (OFFLINE, "simulator", "corridor", "simulator", ""),
    (ONLINE, "data", {"dataset": "walks"}, "data", ""),
    (ONLINE, "budget", ..., "budget", "Add budget"),
    (ONLINE, "budget.steps", 0, "budget.steps", "1"),
    (ONLINE, "budget.steps", 1.5, "budget.steps", ""),
    (ONLINE, "num_envs", 5000, "num_envs", "4096"),
    (ONLINE, "evaluation.episodes", 1, "evaluation.episodes", "2"),
    (ONLINE, "evaluation.num_envs", 1000, "evaluation.num_envs", "episode"),
    (ONLINE, "evaluation.agents", ["agent"], "evaluation.agents", "always"),
    (ONLINE, "evaluation.agents", ["random", "random"], "evaluation.agents", "once"),
    (ONLINE, "evaluation.agents", "random", "evaluation.agents", ""),
    (ONLINE, "evaluation.simulater", "corridor", "evaluation.simulater", "Did you mean simulator?"),
]


@pytest.mark.parametrize(("base", "path", "value", "field", "fix"), MISTAKES,
                         ids=[f"{path}={str(value)[:20]}" for _, path, value, _, _ in MISTAKES])
def test_a_mistake_is_named_with_its_way_out(base: str, path: str, value: Any, field: str, fix: str) -> None:
    with pytest.raises(InvalidError) as caught:
        from_document(changed(yaml.safe_load(base), path, value))
    assert caught.value.field == field
    assert fix in caught.value.fix
    assert caught.value.fix


@pytest.mark.parametrize("text", [
    "", "- 1", "kind: [", "a: 1\na: 2", "a: &x 1\nb: *x", "a: !!python/object/apply:os.getcwd []", "a: 2020-01-01",
    "\0", "a: " + "[" * 500, "x" * 300_000])
def test_what_is_no_specification_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse(text)
    assert "\n" not in caught.value.line()


@given(dictionaries(text(max_size=12), recursive(
    none() | booleans() | integers() | floats() | text(max_size=8),
    lambda inner: lists(inner, max_size=3) | dictionaries(text(max_size=8), inner, max_size=3), max_leaves=8)))
def test_no_document_does_more_than_be_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        from_document({"kind": "TrainingRun", "name": "x", **document})
