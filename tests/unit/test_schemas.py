"""The published JSON Schemas and the parsers agree: on the examples, and on whatever is made out of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ringfence.data import declaration
from ringfence.errors import InvalidError
from ringfence.training import spec

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "icu_sepsis"
SCHEMAS = {name: Draft202012Validator(json.loads((ROOT / f"docs/reference/{name}.schema.json").read_text()))
           for name in ("dataset", "run")}
PARSERS: dict[str, Callable[[str], object]] = {"dataset": declaration.parse, "run": spec.parse}
# What the schemas leave to the platform, as it says it: rules that compare fields.
SPANNING = {"dataset": ("is not a column of the result", "is a token, which identifies nobody", "result already",
                        "would show whom each row is about"),
            "run": ("is more than the episodes",)}
FILES = {"dataset": [EXAMPLES / "dataset.yaml"], "run": sorted((EXAMPLES / "runs").glob("*.yaml"))}
BASES = [(kind, yaml.safe_load(path.read_text())) for kind, paths in FILES.items() for path in paths]
EVERY_ACTION = {
    "kind": "Dataset", "name": "all", "description": "Each action with each option.", "purpose": "test",
    "residency": "here", "subject": "id", "trajectory": {"step": "t"},
    "anonymity": {"k": 2, "quasi_identifiers": []},
    "columns": {"id": "hash", "born": {"action": "generalise", "to": "month", "format": "%d/%m/%Y", "type": "date"},
                "weight": {"action": "generalise", "width": 2.5, "as": "band"},
                "dose": {"action": "round", "digits": 1, "type": "number"},
                "ward": {"action": "suppress", "below": 3, "type": "text"},
                "flag": {"action": "keep", "type": "boolean"},
                "token": {"action": "pseudonymise"}, "note": {"action": "drop", "as": "gone"}}}
ONLINE = yaml.safe_load((EXAMPLES / "runs" / "online.yaml").read_text())
EVERY_FIELD = {**ONLINE, "model": "other", "description": "All of them.",
               "evaluation": {**ONLINE["evaluation"], "num_envs": 9}}
FULL = [("dataset", EVERY_ACTION), ("run", EVERY_FIELD), BASES[1]]
BASES += FULL[:2]


def refusal(kind: str, document: Any) -> str:
    """Why the platform refuses a document; empty when it takes it."""
    text = json.dumps(document)  # YAML reads JSON, but for a number such as 1e-05
    try:
        PARSERS[kind](text)
    except InvalidError as error:
        return error.message
    return ""


def require_agreement(kind: str, document: Any) -> None:
    refused, fits = refusal(kind, document), SCHEMAS[kind].is_valid(document)
    if fits and any(rule in refused for rule in SPANNING[kind]):
        return
    assert fits == (not refused), refused or next(SCHEMAS[kind].iter_errors(document)).message


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))


def parent_of(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


WORDS = ["kind", "name", "model", "description", "seed", "data", "simulator", "num_envs", "budget", "evaluation", "as",
         "action", "type", "to", "width", "format", "digits", "below", "hyperparameters", "episodes", "agents", "agent",
         "random", "k", "steps", "columns", "reward", "PPO", "sb3", "ringfence", "drop", "keep", "generalise", "round",
         "hash", "year", "integer", "tokenise", "1e-3", "-2.E+4", "1.0", "", " ", "a b", "A", "x" * 41, "y" * 101,
         "z" * 201, "\u00a0", "tab\tbed", "\u200b", "\u00e9", "a.b-c_d"]
# Whole numbers with a decimal point are left out: for JSON Schema 5.0 is an integer.
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 20),
    st.sampled_from([2**32 - 1, 2**32, 10**6, 10**6 + 1, 10**12, 10**13]),
    st.sampled_from([-0.5, 0.125, 0.5, 1.5, 2.75]), st.sampled_from(WORDS),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=6))
# What stands in place of each value in turn: nothing, each type, each limit of a text, words of other fields.
PROBES = (None, "", {}, [], 0, -1, 0.25, 5000, 10**16, True, "text", "tab\tbed", "1e5", "A b",
          "y" * 41, "y" * 101, "y" * 201, "y" * 2001, {"a": 1}, ["a", "a"], ["agent"], [*map(str, range(33))],
          "drop", "generalise", "PPO", "sb3", "ringfence", "pessimistic-value-iteration", "year")
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)), max_leaves=5)


@st.composite
def variants(draw: st.DrawFn) -> tuple[str, Any]:
    """A document that works, with one or two things in it replaced, removed, renamed or added."""
    kind, base = draw(st.sampled_from(BASES))
    document = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(places(document))[1:]))
        parent, last = parent_of(document, path), path[-1]
        change = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
        if change == "replace":
            parent[last] = draw(VALUES)
        elif change == "remove" or isinstance(parent, list):
            del parent[last]
        else:
            value = parent.pop(last) if change == "rename" else draw(VALUES)
            parent[draw(st.sampled_from(WORDS))] = value
        if not document:
            break
    return kind, document


@pytest.mark.parametrize(("kind", "document"), BASES)
def test_what_works_is_valid(kind: str, document: Any) -> None:
    assert refusal(kind, document) == ""
    SCHEMAS[kind].validate(document)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_it_is_a_schema(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind].schema)


@pytest.mark.parametrize(("kind", "document"), FULL)
def test_they_agree_wherever_one_thing_is_missing_empty_or_of_another_type(kind: str, document: Any) -> None:
    for path in list(places(document))[1:]:
        for value in PROBES:
            changed = copy.deepcopy(document)
            parent_of(changed, path)[path[-1]] = value
            require_agreement(kind, changed)
        removed = copy.deepcopy(document)
        del parent_of(removed, path)[path[-1]]
        require_agreement(kind, removed)


@pytest.mark.parametrize(("kind", "document"), FULL)
def test_they_agree_that_nothing_may_be_added(kind: str, document: Any) -> None:
    for path in places(document):
        changed = copy.deepcopy(document)
        inner = parent_of(changed, (*path, ""))
        if isinstance(inner, dict):
            inner["unheard_of"] = "drop"
            require_agreement(kind, changed)


@pytest.mark.parametrize("columns", [{"id": "drop"}, {"id": {"action": "drop", "as": "x"}, "note": "drop"}])
def test_they_agree_that_something_must_be_left(columns: dict[str, Any]) -> None:
    require_agreement("dataset", {**EVERY_ACTION, "columns": columns})
    require_agreement("dataset", {**EVERY_ACTION, "columns": {**columns, "kept": "keep"}})


@given(variants())
def test_they_agree_on_variants(variant: tuple[str, Any]) -> None:
    require_agreement(*variant)
