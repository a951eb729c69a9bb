"""The two documents that users write, field by field, from their JSON Schemas."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from ringfence import documents
from ringfence.data import declaration
from ringfence.training import spec
from tools.reference import ROOT, schemas
from tools.reference.markdown import code, codes, table
from tools.reference.markdown import page as whole

_HEADER = ["Field", "Takes", "Needed", "What it is"]
_LEARNER = ROOT / "src" / "ringfence_workload" / "learner"


def declaration_page() -> str:
    """Return the reference of a dataset's declaration."""
    schema = schemas.dataset()
    actions = [form for form in schema["$defs"]["column"]["anyOf"] if "properties" in form]
    rows = [[code(form["properties"]["action"]["const"]), form["description"],
             codes(name for name in form["properties"] if name not in ("action", "as"))] for form in actions]
    options = {name: value for form in actions for name, value in form["properties"].items() if name != "action"}
    return whole(
        "A dataset's declaration",
        "What a data steward writes: what a dataset is for, and what becomes of each column. "
        "`ringfence data declare FILE` hands it in. [The example](../../examples/icu_sepsis/dataset.yaml) is a whole "
        "one; [dataset.schema.json](dataset.schema.json) is this page for an editor.",
        table(_HEADER, _rows(schema)),
        "## Actions",
        "A column is `NAME: ACTION`, or `NAME: {action: ACTION, as: OTHER_NAME, ...}` with what the action takes.",
        table(["Action", "What becomes of the column", "Takes"], rows),
        table(["Option", "Takes", "What it is"], [[code(name), _kind(value), value["description"]]
                                                  for name, value in options.items()]),
        f"Reserved for later versions, and refused until then: {codes(declaration.LATER)}.", *_rest("dataset"))


def run_page() -> str:
    """Return the reference of a run's specification."""
    schema = schemas.run()
    learners = [[code(library), code(algorithm), learner.source, code(learner.environment),
                 codes(f"data.columns.{role}" for role in learner.roles)]
                for (library, algorithm), learner in spec.LEARNERS.items()]
    return whole(
        "A run's specification",
        "What a data scientist writes. `ringfence train submit FILE` hands it in. The examples are "
        "[from data alone](../../examples/icu_sepsis/runs/offline.yaml) and "
        "[in a simulator](../../examples/icu_sepsis/runs/online.yaml); [run.schema.json](run.schema.json) is this page "
        "for an editor.",
        table(_HEADER, _rows(schema)),
        "## Learners",
        "A learner from data needs `data`, and takes no `simulator`, `num_envs` or `budget`. A learner from a "
        "simulator needs `simulator`, `budget` and `evaluation`, and takes no `data`.",
        table(["Library", "Algorithm", "Learns from", "Environment", "Columns that it needs"], learners),
        "### Hyperparameters of pessimistic-value-iteration",
        table(["Name", "Default", "From", "To"], [list(map(code, row)) for row in _offline()]),
        "### Hyperparameters of sb3",
        "Those of the algorithm's class in Stable-Baselines3, with its defaults, but for what the platform sets "
        f"itself: {codes(sorted(_not_the_users()))}. `policy_kwargs` takes `net_arch` and `activation_fn`.",
        *_rest("run"))


def _rest(name: str) -> Iterator[str]:
    yield ("## What else is checked\n\nA field that does not stand here is refused, with the nearest one that does. So "
           "are an empty field, a name that stands twice, YAML's aliases, a whole number written with a decimal point, "
           f"a text that can't be printed, and a file over {documents.MAX_BYTES >> 10} KiB.")
    yield "\n".join(f"- {rule}" for rule in schemas.SPANNING[name])


def _rows(schema: dict[str, Any], path: str = "") -> Iterator[list[str]]:
    for name, value in schema["properties"].items():
        needed = "yes" if name in schema["required"] else ""
        yield [code(f"{path}{name}"), _kind(value), needed, value.get("description", "")]
        if "properties" in value:
            yield from _rows(value, f"{path}{name}.")


def _kind(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return codes(schema["enum"])
    if schema["type"] == "array":
        return f"list of distinct names{_limit(', at most {}', schema.get('maxItems'))}"
    if schema.get("pattern") == schemas.NAME:
        return "name: up to 63 of `a-z 0-9 . _ -`"
    word = {"string": "text", "integer": "whole number", "number": "number", "object": "mapping"}[schema["type"]]
    limits = (("minimum", " from {}"), ("maximum", " to {}"), ("maxLength", " of at most {} characters"),
              ("maxProperties", " of at most {}"))
    return word + "".join(_limit(words, schema.get(name)) for name, words in limits)


def _limit(words: str, value: float | None) -> str:
    return "" if value is None else words.format(f"{value:,}" if isinstance(value, int) else f"{value:g}")


def _offline() -> list[list[str]]:
    """Return name, default and limits of each number that the offline learner asks for."""
    tree = ast.parse((_LEARNER / "offline.py").read_text())
    asked = [node for node in ast.walk(tree)
             if isinstance(node, ast.Call) and ast.unparse(node.func) == "require_number"]
    asked.sort(key=lambda node: node.lineno)
    return [[str(ast.literal_eval(given)) for given in node.args[1:]] for node in asked]


def _not_the_users() -> set[str]:
    tree = ast.parse((_LEARNER / "sb3.py").read_text())
    (value,) = (node.value for node in tree.body if isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "NOT_THE_USERS")
    assert isinstance(value, ast.Call)
    names: set[str] = ast.literal_eval(value.args[0])
    return {name for name in names if not name.startswith("_") and name not in ("self", "policy", "env")}
