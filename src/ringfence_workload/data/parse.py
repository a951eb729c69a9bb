"""The task `data.parse`: is this file a table, and the one that was declared?"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ringfence_workload.data.discreet import discreet
from ringfence_workload.data.source import Source, opened
from ringfence_workload.data.types import cast, infer, present
from ringfence_workload.task import Job, Result, TaskError


@discreet
def parse(job: Job) -> Result:
    """Check the CSV in the input `source`, and against the parameter `declaration` where it is given.

    Returns values {"rows", "columns": [{"name", "type"}], "delimiter"}; a type is one of integer, number, boolean,
    date, datetime, text, empty.

    Raises:
        TaskError: `data.malformed`, `data.empty`, `data.unknown_column`, `data.type_mismatch`.
    """
    with opened(job.inputs["source"]) as source:
        declaration = job.parameters.get("declaration")
        if declaration:
            require_columns(declaration, source.shape.columns)
            require_types(declaration, source)
        return Result({"rows": source.shape.rows, "delimiter": source.shape.delimiter, "columns": types(source)})


def types(source: Source) -> list[dict[str, str]]:
    """Return each column's name and inferred type, in order."""
    return [{"name": values.name, "type": infer(present(values))}
            for frame in source.groups() for values in frame.iter_columns()]


def require_columns(declaration: Mapping[str, Any], existing: Sequence[str]) -> None:
    """Refuse a declaration that names a column the file has not.

    Raises:
        TaskError: `data.unknown_column`, naming the column and the nearest that exists; `data.no_header`, where the
            first line is not known to hold names: it may be a person's, and is not quoted.
    """
    trajectory = declaration.get("trajectory") or {}
    named = {str(column) for column in (*declaration["columns"], declaration.get("subject"), *trajectory.values())
             if column}
    missing = [column for column in declaration["columns"] if column not in existing]
    missing += sorted(named.difference(existing, missing))
    if missing and 2 * len(missing) > len(named):
        raise TaskError("data.no_header", f"{len(missing)} of the {len(named)} declared columns are not in the file's "
                        f"first line, {missing[0]!r} among them.", field=missing[0],
                        fix="Begin the file with a line that names its columns, and declare these names.")
    if missing:
        raise unknown_column(missing[0], existing)


def unknown_column(column: str, existing: Sequence[str]) -> TaskError:
    """Return the error that names the nearest column that exists."""
    nearest = difflib.get_close_matches(column.lower(), [name.lower() for name in existing], n=1, cutoff=0.5)
    guess = next((name for name in existing if nearest and name.lower() == nearest[0]), "")
    shown = ", ".join(existing[:20]) + (", ..." if len(existing) > 20 else "")
    return TaskError("data.unknown_column", f"There is no column {column!r} in the data.", field=column, value=guess,
                     fix=f"Did you mean {guess!r}?" if guess else f"The columns are: {shown}.")


def require_types(declaration: Mapping[str, Any], source: Source) -> None:
    """Refuse a file in which a value is not of its column's declared type.

    Raises:
        TaskError: `data.type_mismatch`, naming the column and the line.
    """
    for name, rule in declaration["columns"].items():
        kind = rule.get("type") if isinstance(rule, Mapping) else None
        if kind:
            cast(source.frame([name])[name], kind, source)
