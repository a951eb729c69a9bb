"""The task `data.classify`: what in this file identifies people?

Every column is looked at as a whole, vectorised: checksums, forms, dictionaries, what its name hints, statistics.
Run on a file, with no platform: `python -m ringfence_workload.data.classify FILE` prints the findings as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ringfence_workload.data import detect_identifiers, detect_others
from ringfence_workload.data.column import Column, Match, shape
from ringfence_workload.data.discreet import discreet
from ringfence_workload.data.free_text import free_text, linked
from ringfence_workload.data.source import Source, opened, opened_file
from ringfence_workload.task import Job, Result, TaskError

DIRECT = frozenset({"PERSON_NAME", "EMAIL", "PHONE", "SSN", "NATIONAL_ID", "CREDIT_CARD", "IBAN", "ACCOUNT_NUMBER",
                    "MEDICAL_RECORD_NUMBER", "ADDRESS", "IP_ADDRESS", "MAC_ADDRESS", "DEVICE_ID", "USERNAME", "URL",
                    "FREE_TEXT"})
QUASI = frozenset({"DATE_OF_BIRTH", "AGE", "SEX", "POSTCODE", "CITY", "COUNTRY", "GEO"})
OTHER = frozenset({"DATE", "NUMERIC", "CATEGORICAL", "NONE"})


@discreet
def classify(job: Job) -> Result:
    """Classify the CSV in the input `source`.

    Returns values {"columns": [{"name", "type", "sensitivity", "confidence", "evidence"}]}, in the file's order; the
    evidence holds forms and shares, never a value.

    Raises:
        TaskError: as `csv_check.check`.
    """
    with opened(job.inputs["source"]) as source:
        return Result({"columns": findings(source)})


def classify_file(path: Path) -> dict[str, Any]:
    """Classify a CSV file of this machine; the same values as `classify`.

    Raises:
        TaskError: as `csv_check.check`.
        OSError: the file can't be opened.
    """
    with opened_file(path) as source:
        return {"columns": findings(source)}


def findings(source: Source) -> list[dict[str, Any]]:
    """Return one finding per column, in the file's order."""
    columns = [Column.of(values) for frame in source.groups() for values in frame.iter_columns()]
    matches = [_match(column) for column in columns]
    identifiers = [(match.type, column) for column, match in zip(columns, matches, strict=True)
                   if match.type in DIRECT - {"FREE_TEXT"}]
    return [_finding(column, _linked(column, match, identifiers))
            for column, match in zip(columns, matches, strict=True)]


def _match(column: Column) -> Match:
    if not len(column.distinct):
        return detect_others.remaining(column)
    found = [*detect_identifiers.detect(column), *detect_others.detect(column)]
    best = max(found, key=lambda match: match.confidence, default=None)
    return best or free_text(column) or detect_others.remaining(column)


def _linked(column: Column, match: Match, identifiers: list[tuple[str, Column]]) -> Match:
    if match.type in DIRECT - {"FREE_TEXT"} or match.type in QUASI or not len(column.distinct):
        return match
    return linked(column, identifiers) or match


def _finding(column: Column, match: Match) -> dict[str, Any]:
    form = shape(column.sample)
    evidence = f"{match.why}; form {form}" if form and match.type != "FREE_TEXT" else match.why
    return {"name": column.name, "type": match.type, "sensitivity": sensitivity(match.type),
            "confidence": round(match.confidence, 2), "evidence": evidence}


def sensitivity(kind: str) -> str:
    """Return the default sensitivity of a type."""
    return "direct_identifier" if kind in DIRECT else "quasi_identifier" if kind in QUASI else "none"


def main(arguments: list[str] | None = None) -> int:
    """Print the findings of a file as JSON; return 2 and one line on stderr for a file that can't be read."""
    parser = argparse.ArgumentParser(description="Find what identifies people in a CSV file.")
    parser.add_argument("file", type=Path)
    path = parser.parse_args(arguments).file
    try:
        print(json.dumps(classify_file(path), ensure_ascii=False))
    except TaskError as error:
        print(f"{error.message} {error.fix}".strip(), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{path} can't be opened: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
