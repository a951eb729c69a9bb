"""JSON Schemas of what users write, from the limits and words that the parsers themselves use.

They say all that a schema can say. What compares one field with another (`SPANNING`) the platform alone says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ringfence.data import declaration
from ringfence.training import spec

Schema = dict[str, Any]
# As `Fields.name` and `Fields.text` want them. The second leaves out what can't be printed: controls, separators and
# formats.
NAME = "^[a-z0-9][a-z0-9._-]{0,62}$"
PRINTED = ("^[^\\u0000-\\u001f\\u007f-\\u00a0\\u00ad\\u1680\\u2000-\\u200f\\u2028-\\u202f"
           "\\u205f-\\u206f\\u3000\\ufeff]*$")
# A text that stands where a number was meant: YAML 1.1 reads 1e-3 as a text.
NUMBER_LIKE = "^[+-]?[0-9]+(\\.[0-9]*)?[eE][+-]?[0-9]+$"

SPANNING: Mapping[str, tuple[str, ...]] = {
    "dataset": (
        "Each name in `anonymity.quasi_identifiers` is a column of the result, under its name there, and readable: "
        "kept, generalised, rounded or suppressed.",
        "No two columns of the result have one name.",
        "The column named in `subject` is not left readable.",
    ),
    "run": ("`evaluation.num_envs` is at most `evaluation.episodes`.",),
}
_OPTIONS: Mapping[str, Schema] = {
    "type": {"enum": list(declaration.TYPES),
             "description": "Type to read the values as; without it, what they all are."},
    "to": {"enum": list(declaration.DATES), "description": "What is left of a date."},
    "width": {"type": "number", "minimum": 1e-9, "maximum": 1e15,
              "description": "A number is lowered to a multiple of this."},
    "format": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": PRINTED,
               "description": "How the dates are written (`%d/%m/%Y`), where the values leave it open."},
    "digits": {"type": "integer", "minimum": 0, "maximum": 15, "description": "Decimals that are left."},
    "below": {"type": "integer", "minimum": 1, "maximum": 1_000_000,
              "description": "Values of fewer distinct subjects than this are suppressed; without it, fewer than k."},
}
_ACTIONS: Mapping[str, str] = {
    "drop": "It does not reach the result, as if it did not stand here.",
    "keep": "It stays as it is.",
    "pseudonymise": "Each value becomes a token made with the dataset's own key: the same for the same value in this "
                    "column, in every version.",
    "hash": "As `pseudonymise`, but the next raw file has other tokens, so that versions can't be linked.",
    "generalise": "A date becomes its year, decade or month (`to`), a number a multiple of `width`.",
    "round": "A number is rounded.",
    "suppress": "Rare values are left empty.",
}


def text(schema: Schema) -> str:
    """Return a schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=True) + "\n"


def dataset() -> Schema:
    """Return the schema of a dataset's declaration."""
    properties = {
        "kind": {"const": "Dataset"},
        "name": _name("Name of the dataset."),
        "description": _text("What it is, in a sentence.", 2000),
        "purpose": _text("What it may be used for: a run must name the same purpose."),
        "residency": _text("Where it must stay."),
        "subject": _text("Column of the raw file that tells one person from another."),
        "trajectory": _mapping({"episode": _text("Column that numbers the episodes."),
                                "step": _text("Column that numbers the steps of an episode.")}, (),
                               "Columns that make rows into trajectories.", minProperties=1),
        "anonymity": _anonymity(),
        "columns": {"type": "object", "description": "What becomes of each column of the raw file. One that does not "
                                                     "stand here is dropped.",
                    "minProperties": 1, "maxProperties": declaration.MAX_COLUMNS,
                    "additionalProperties": {"$ref": "#/$defs/column"},
                    "not": {"additionalProperties": {"anyOf": [
                        {"const": "drop"},
                        {"type": "object", "required": ["action"], "properties": {"action": {"const": "drop"}}}]}}},
    }
    required = ("kind", "name", "purpose", "residency", "subject", "anonymity", "columns")
    return _document("dataset", "A dataset's declaration", properties, required, {"$defs": {"column": _column()}})


def run() -> Schema:
    """Return the schema of a run's specification."""
    libraries = sorted({library for library, _ in spec.LEARNERS})
    algorithms = [algorithm for _, algorithm in spec.LEARNERS]
    learner = _mapping({
        "library": {"enum": libraries, "description": "Library that learns."},
        "algorithm": {"enum": algorithms, "description": "Algorithm of the library."},
        "hyperparameters": {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"},
                            "description": "What the algorithm takes; see below."},
    }, ("library", "algorithm"), "What learns.", anyOf=[
        {"properties": {"library": {"const": library}, "algorithm": {"const": algorithm}}}
        for library, algorithm in spec.LEARNERS])
    properties = {
        "kind": {"const": "TrainingRun"},
        "name": _name("Name of the run."),
        "model": _name("Name of the model that it trains; without it, the run's name."),
        "description": _text("What it is for, in a sentence."),
        "learner": learner,
        "data": _mapping({"dataset": _text("Dataset: `name`, or `name@version`."), "purpose": _text("What for."),
                          "columns": {"type": "object", "description": "Columns that the run is granted, by their part "
                                                                       "in a step; it sees no other."}},
                         ("dataset", "purpose", "columns"), "What a learner from data learns from."),
        "simulator": _text("Simulator that a learner from a simulator learns in: `name`, `name@version` or digest."),
        "num_envs": _integer("Environments side by side; without it, 8.", 1, spec.MAX_ENVIRONMENTS),
        "budget": _mapping({"steps": _integer("Steps in the simulator.", 1, spec.MAX_STEPS)}, ("steps",),
                           "How long a learner from a simulator learns."),
        "seed": _integer("Seed of everything random.", 0, spec.MAX_SEED),
        "evaluation": _evaluation(),
    }
    kinds = [_of_learner(*names, kind) for names, kind in spec.LEARNERS.items()]
    return _document("run", "A training run's specification", properties, ("kind", "name", "learner", "seed"),
                     {"allOf": kinds, "$defs": {"value": _value()}})


def _of_learner(library: str, algorithm: str, learner: spec.Learner) -> Schema:
    """Return what a specification with this learner must have, and can't."""
    names = {"library": {"const": library}, "algorithm": {"const": algorithm}}
    asked = {"properties": {"learner": {"properties": names, "required": list(names)}}, "required": ["learner"]}
    if learner.source == "data":
        columns = _mapping({role: _text(f"Column that holds the {role}.") for role in learner.roles}, learner.roles, "")
        return {"if": asked, "then": {"required": ["data"], "properties": {
            "data": {"properties": {"columns": columns}}, "simulator": False, "num_envs": False, "budget": False}}}
    return {"if": asked, "then": {"required": ["simulator", "budget", "evaluation"], "properties": {"data": False}}}


def _evaluation() -> Schema:
    agents = {"type": "array", "uniqueItems": True, "maxItems": spec.MAX_AGENTS,
              "items": {"type": "string", "minLength": 1, "not": {"const": "agent"}},
              "description": "Whom to compare the trained agent with: `random`, or a baseline of the simulator; "
                             "without it, `random`."}
    return _mapping({"simulator": _text("Simulator to judge in."),
                     "episodes": _integer("Episodes for each agent.", 2, spec.MAX_EPISODES), "agents": agents,
                     "num_envs": _integer("Environments side by side; without it, as many as suit the simulator.", 1,
                                          spec.MAX_ENVIRONMENTS)},
                    ("simulator", "episodes"),
                    "How the agent is judged. A learner from data may do without: who has logs alone has no simulator.")


def _value() -> Schema:
    """Return the schema of a hyperparameter: any plain value but a number that YAML took for a text."""
    this = {"$ref": "#/$defs/value"}
    return {"type": ["null", "boolean", "number", "string", "array", "object"],
            "if": {"type": "string"}, "then": {"not": {"pattern": NUMBER_LIKE}},
            "items": this, "additionalProperties": this}


def _anonymity() -> Schema:
    return _mapping({
        "k": _integer("Distinct subjects that must share each combination of the quasi-identifiers. The shipped policy "
                      "asks for 5 at least.", 1, 1_000_000),
        "quasi_identifiers": {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True,
                              "description": "Columns of the result that identify in combination."},
        "max_suppressed_share": {"type": "number", "minimum": 0, "maximum": 1,
                                 "description": "Share of the rows that may be left out to reach k; without it, 1."},
    }, ("k", "quasi_identifiers"), "What is demanded of the result.")


def _column() -> Schema:
    plain = [action for action in declaration.OPTIONS if action != "generalise"]
    forms = [_action(action, options) for action, options in declaration.OPTIONS.items()]
    return {"anyOf": [{"enum": plain, "description": "An action that needs nothing else."}, *forms]}


def _action(action: str, options: tuple[str, ...]) -> Schema:
    properties = {"action": {"const": action},
                  "as": _text("Name of the column in the result; without it, its own.", 100),
                  **{option: _OPTIONS[option] for option in options}}
    schema = _mapping(properties, ("action",), _ACTIONS[action])
    if action == "generalise":
        schema["oneOf"] = [{"required": ["to"]}, {"required": ["width"]}]
    return schema


def _document(name: str, title: str, properties: Schema, required: tuple[str, ...], more: Schema) -> Schema:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:ringfence:schema:{name}",
            "title": title, "$comment": "Made from the code by `make reference`. The platform also checks: "
                                        + " ".join(SPANNING[name]),
            "type": "object", "properties": properties, "required": list(required),
            "additionalProperties": False, **more}


def _mapping(properties: Schema, required: tuple[str, ...], description: str, **more: Any) -> Schema:
    return {**({"description": description} if description else {}), "type": "object", "properties": properties,
            "required": list(required), "additionalProperties": False, **more}


def _name(description: str) -> Schema:
    return {"type": "string", "pattern": NAME, "description": description}


def _text(description: str, longest: int = 200) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": PRINTED, "description": description}


def _integer(description: str, low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": description}
