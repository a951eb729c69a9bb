"""The task `data.deidentify`: from the raw file to the table that may be released, by the declared rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ringfence_workload.data import anonymity, tokens
from ringfence_workload.data.anonymity import EPISODE, ROW, STEP, SUBJECT
from ringfence_workload.data.discreet import discreet
from ringfence_workload.data.findings import require_safe
from ringfence_workload.data.parse import require_columns, unknown_column
from ringfence_workload.data.rules import Context, Rule, apply, rules_of
from ringfence_workload.data.source import Source, opened
from ringfence_workload.task import Job, Result, TaskError
from ringfence_workload.wire import memory

_KINDS = {pl.Int64: "integer", pl.Float64: "number", pl.Boolean: "boolean", pl.Date: "date",
          pl.Datetime("us"): "datetime", pl.String: "text"}


@discreet
def deidentify(job: Job) -> Result:
    """Apply the parameter `declaration` to the CSV in the input `source`, with the keys of the input `keys`.

    `findings` is what `data.classify` found in the same file. Returns the values that `docs` of the release show (rows,
    subjects, k, shares, columns, one row before and after) and the output `dataset.parquet` (zstd), its rows sorted
    by token, so that their order says nothing of the file's.

    Raises:
        TaskError: `data.identifier_kept`, `data.quasi_identifier_forgotten`, `data.not_classified`,
            `data.subject_missing`, `data.too_much_suppressed`, and those of parsing and of the rules.
    """
    declaration = job.parameters["declaration"]
    rules = rules_of(declaration)
    key = tokens.scope_key(job.inputs["keys"])
    with opened(job.inputs["source"]) as source:
        require_columns(declaration, source.shape.columns)
        require_safe(rules, job.parameters.get("findings", []), declaration["anonymity"])
        job.progress(0.2, "applying the rules")
        table = _table(source, declaration, rules, key)
        job.progress(0.6, "measuring anonymity")
        kept, report = _anonymise(table, declaration, rules)
        values = _values(source, declaration, rules, kept, report)
    job.progress(0.9, "writing")
    return Result(values, {"dataset.parquet": _parquet(kept.select([rule.name for rule in rules]))})


def _table(source: Source, declaration: Mapping[str, Any], rules: Sequence[Rule], key: bytes) -> pl.DataFrame:
    """Return the output columns beside SUBJECT, EPISODE, STEP and ROW, one row per row of the file."""
    subject = source.frame([declaration["subject"]]).to_series().str.strip_chars()
    missing = subject.is_null() | (subject == "")
    if missing.any():
        line = source.line(int(missing.arg_max() or 0))
        raise TaskError("data.subject_missing", f"Line {line:,} names no subject in {declaration['subject']!r}.",
                        field=declaration["subject"], value=f"line {line}",
                        fix="Give every row its subject: without it anonymity can't be counted.")
    context = Context(key, source, subject, int(declaration["anonymity"]["k"]))
    columns = [apply(rule, source.frame([rule.column]).to_series(), context) for rule in rules]
    trajectory = declaration.get("trajectory") or {}
    for place, role in ((EPISODE, "episode"), (STEP, "step")):
        if trajectory.get(role):
            columns.append(_order(source.frame([trajectory[role]]).to_series()).alias(place))
    return pl.DataFrame([*columns, subject.alias(SUBJECT)]).with_row_index(ROW)


def _order(values: pl.Series) -> pl.Series:
    numbers = values.cast(pl.Float64, strict=False)
    return values if numbers.null_count() > values.null_count() else numbers


def _anonymise(table: pl.DataFrame, declaration: Mapping[str, Any],
               rules: Sequence[Rule]) -> tuple[pl.DataFrame, dict[str, Any]]:
    wanted = declaration["anonymity"]
    quasi, names = list(wanted["quasi_identifiers"]), [rule.name for rule in rules]
    for name in quasi:
        if name not in names:
            raise unknown_column(name, names)
    kept = anonymity.suppress(table, quasi, int(wanted["k"]))
    measured = anonymity.measure(table, kept, quasi)
    _require_enough(measured, wanted)
    sequence = [rule.name for rule in rules if rule.action not in {"pseudonymise", "hash"} and rule.name not in quasi
                and rule.column not in (declaration.get("trajectory") or {}).values()]
    report = {"k_required": int(wanted["k"]), "quasi_identifiers": quasi, **dataclasses.asdict(measured)}
    if sequence:
        report["trajectory"] = anonymity.singled_out(kept, sequence)
    return kept.sort(_sort_keys(kept, rules), maintain_order=True), report


def _require_enough(measured: anonymity.Anonymity, wanted: Mapping[str, Any]) -> None:
    most, share = float(wanted.get("max_suppressed_share", 1.0)), measured.suppressed_share
    if share > most or not measured.rows:
        raise TaskError("data.too_much_suppressed", f"To reach k = {wanted['k']}, {share:.1%} of the rows would have "
                        f"to go; the declaration allows {most:.1%}.", field="anonymity.max_suppressed_share",
                        value=f"{share:.4f}", fix="Generalise the quasi-identifiers further (a decade for a year), "
                        "drop one of them, or bring more subjects.")
    if measured.k < int(wanted["k"]):
        raise TaskError("data.not_anonymous", f"The result has k = {measured.k}, needed is {wanted['k']}.",
                        field="anonymity.k", value=str(measured.k), fix="Generalise the quasi-identifiers further.")


def _sort_keys(kept: pl.DataFrame, rules: Sequence[Rule]) -> list[str]:
    made = [rule.name for rule in rules if rule.action in {"pseudonymise", "hash"}]
    rest = [rule.name for rule in rules if rule.name not in made]
    return [*made, *([STEP] if STEP in kept.columns else []), *rest]


def _values(source: Source, declaration: Mapping[str, Any], rules: Sequence[Rule], kept: pl.DataFrame,
            report: Mapping[str, Any]) -> dict[str, Any]:
    used = {rule.column for rule in rules}
    undeclared = [name for name in source.shape.columns if name not in declaration["columns"]]
    return {
        "rows_in": source.shape.rows, "rows": kept.height, "subjects": report["subjects"], "k": report["k"],
        "suppressed_share": report["suppressed_share"],
        "suppressed_subject_share": report["suppressed_subject_share"],
        "columns": [{"name": rule.name, "type": _KINDS.get(kept.schema[rule.name], "text"), "source": rule.column,
                     "action": rule.action} for rule in rules],
        "columns_removed": [name for name in source.shape.columns if name not in used],
        "columns_undeclared": undeclared, "anonymity": dict(report), "example": _example(source, rules, kept),
    }


def _example(source: Source, rules: Sequence[Rule], kept: pl.DataFrame) -> dict[str, Any]:
    """Return one row of the file as it was, and as it is released."""
    after = kept.row(0, named=True)
    return {"before": source.row(int(after[ROW])),
            "after": {rule.name: _plain(after[rule.name]) for rule in rules}}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _parquet(frame: pl.DataFrame) -> int:
    output = memory.create("dataset.parquet")
    with open(f"/proc/self/fd/{output}", "wb") as file:
        frame.write_parquet(file, compression="zstd")
    return memory.seal(output)
