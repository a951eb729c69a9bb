"""Datasets, what is found in them, and their released versions. No I/O.

A landing goes `landed` -> `classified` -> `released` or `refused`, and from there may be released again under
another declaration. What a fence says of a file that strangers wrote is rebuilt from checked parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ringfence.data.declaration import READABLE, Declaration
from ringfence.errors import ConflictError, InvalidError, WorkloadError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")

DIRECT = frozenset({"PERSON_NAME", "EMAIL", "PHONE", "SSN", "NATIONAL_ID", "CREDIT_CARD", "IBAN", "ACCOUNT_NUMBER",
                    "MEDICAL_RECORD_NUMBER", "ADDRESS", "IP_ADDRESS", "MAC_ADDRESS", "DEVICE_ID", "USERNAME", "URL",
                    "FREE_TEXT"})
QUASI = frozenset({"DATE_OF_BIRTH", "AGE", "SEX", "POSTCODE", "CITY", "COUNTRY", "GEO"})
OTHER = frozenset({"DATE", "NUMERIC", "CATEGORICAL", "NONE"})


class State(StrEnum):
    """Where a dataset stands: `declared` until a file has landed, then what became of that file."""

    DECLARED = "declared"
    LANDED = "landed"
    CLASSIFIED = "classified"
    RELEASED = "released"
    REFUSED = "refused"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.DECLARED: frozenset({State.LANDED}),
    State.LANDED: frozenset({State.CLASSIFIED}),
    State.CLASSIFIED: frozenset({State.RELEASED, State.REFUSED}),
    State.RELEASED: frozenset({State.RELEASED, State.REFUSED}),
    State.REFUSED: frozenset({State.RELEASED, State.REFUSED}),
}


def require_transition(state: State, target: State) -> State:
    """Return `target`.

    Raises:
        ConflictError: `dataset.state`: it can't follow on `state`.
    """
    if target not in TRANSITIONS[state]:
        raise ConflictError("dataset.state", f"A dataset that is {state} can't become {target}.", field="state",
                            value=state, fix=_NEXT[state])
    return target


_NEXT: Mapping[State, str] = {
    State.DECLARED: "Ingest its file first: `ringfence data ingest`.",
    State.LANDED: "Classify it first: `ringfence data classify`.",
    State.CLASSIFIED: "Release it: `ringfence data release`.",
    State.RELEASED: "Ingest a new file to begin again.",
    State.REFUSED: "Correct its declaration and release it again.",
}


@dataclass(frozen=True)
class Finding:
    """What classification found in one column. `evidence` holds forms and shares, never a value."""

    name: str
    type: str
    sensitivity: str
    confidence: float
    evidence: str

    def as_json(self) -> dict[str, Any]:
        """Return the finding as `data classify --json` prints it."""
        return asdict(self)


def findings_from(values: Any, columns: Sequence[str]) -> tuple[Finding, ...]:
    """Rebuild the findings that a fence reports for a file with these columns.

    Raises:
        WorkloadError: `data.bad_report`: it does not say one thing of each column.
    """
    items = values if isinstance(values, list) else []
    if [item.get("name") if isinstance(item, dict) else None for item in items] != list(columns):
        raise _bad_report("its findings are not one for each column")
    return tuple(_finding(item) for item in items)


def _finding(item: Mapping[str, Any]) -> Finding:
    kind, confidence, evidence = item.get("type"), item.get("confidence"), item.get("evidence")
    if kind not in DIRECT | QUASI | OTHER or not _within(confidence, 0, 1) or not isinstance(evidence, str):
        raise _bad_report("a finding is of no known type")
    sensitivity = "direct_identifier" if kind in DIRECT else "quasi_identifier" if kind in QUASI else "none"
    return Finding(item["name"], kind, sensitivity, float(confidence or 0), evidence[:300])


@dataclass(frozen=True)
class Landing:
    """The raw file that stands in quarantine: how it looks, never what is in it."""

    digest: str
    size: int
    rows: int
    columns: tuple[Mapping[str, str], ...]
    landed_at: str

    def as_json(self) -> dict[str, Any]:
        """Return the landing as the API shows it."""
        return {"digest": self.digest, "size": self.size, "rows": self.rows, "landed_at": self.landed_at,
                "columns": [dict(column) for column in self.columns]}


@dataclass(frozen=True)
class Measured:
    """What de-identification reports of its result. Shares are of the raw file."""

    rows: int
    subjects: int
    k: int
    suppressed_share: float
    columns: tuple[Mapping[str, str], ...]
    columns_removed: tuple[str, ...]
    anonymity: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """Return the names of the result's columns."""
        return [column["name"] for column in self.columns]

    @classmethod
    def from_report(cls, values: Mapping[str, Any], declaration: Declaration, raw: Sequence[str]) -> Measured:
        """Rebuild what a fence reports, as far as it is what the declaration leads to.

        Raises:
            WorkloadError: `data.bad_report`.
        """
        wanted = [(rule.name, rule.column, rule.action) for rule in declaration.outputs]
        columns = values.get("columns")
        if not isinstance(columns, list) or not all(isinstance(column, dict) for column in columns) or [
                (column.get("name"), column.get("source"), column.get("action")) for column in columns] != wanted:
            raise _bad_report("the result has not the declared columns")
        used = {rule.column for rule in declaration.outputs}
        counts = [values.get(name) for name in ("rows", "subjects", "k")]
        share, anonymity = values.get("suppressed_share"), values.get("anonymity")
        if not all(_within(count, 1, 2**53) for count in counts) or not _within(share, 0, 1) \
                or not isinstance(anonymity, dict):
            raise _bad_report("its figures are not what they must be")
        rows, subjects, k = (int(count or 0) for count in counts)
        return cls(rows, subjects, k, float(share or 0),
                   tuple({key: str(column.get(key, "")) for key in ("name", "type", "source", "action")}
                         for column in columns),
                   tuple(name for name in raw if name not in used), anonymity)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as the API and the database know them."""
        return {**asdict(self), "columns": [dict(column) for column in self.columns],
                "columns_removed": list(self.columns_removed), "anonymity": dict(self.anonymity)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Measured:
        """Return what `as_json` gave."""
        return cls(values["rows"], values["subjects"], values["k"], values["suppressed_share"],
                   tuple(values["columns"]), tuple(values["columns_removed"]), values["anonymity"])


def readable_identifiers(declaration: Declaration, findings: Sequence[Finding]) -> list[str]:
    """Return the result's columns that would hold what was found to identify people."""
    direct = {finding.name for finding in findings if finding.sensitivity == "direct_identifier"}
    return [rule.name for rule in declaration.outputs if rule.action in READABLE and rule.column in direct]


@dataclass(frozen=True)
class VersionView:
    """One released, immutable version. `digest` is of its Parquet file, `source` of the raw file it was made from.

    `example` is one row before and after, which only a data steward gets to see.
    """

    ref: str
    name: str
    number: int
    digest: str
    size: int
    purpose: str
    residency: str
    source: str
    declaration_digest: str
    measured: Measured
    released_at: str
    released_by: str
    example: Mapping[str, Any] | None = None

    @property
    def columns(self) -> list[str]:
        """Return the names of the version's columns."""
        return self.measured.names

    def as_json(self) -> dict[str, Any]:
        """Return the version as the API shows it."""
        own = {key: value for key, value in asdict(self).items() if key not in {"measured", "example"}}
        return {**own, **self.measured.as_json(), **({"example": dict(self.example)} if self.example else {})}


@dataclass(frozen=True)
class DatasetView:
    """One dataset: its declaration, what landed, what was found, what was released."""

    name: str
    state: State
    declaration: Declaration
    landing: Landing | None = None
    findings: tuple[Finding, ...] = ()
    refusal: str = ""
    versions: tuple[VersionView, ...] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """Return the dataset as the API shows it."""
        return {"name": self.name, "state": self.state.value, "purpose": self.declaration.purpose,
                "residency": self.declaration.residency, "declaration": self.declaration.as_json(),
                "declaration_digest": self.declaration.digest,
                "landing": self.landing.as_json() if self.landing else None,
                "findings": [finding.as_json() for finding in self.findings], "refusal": self.refusal,
                "versions": [version.as_json() for version in self.versions]}


@dataclass(frozen=True)
class VersionRef:
    """`name` (the latest version, number 0) or `name@number`."""

    name: str
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> VersionRef:
        """Read a reference.

        Raises:
            InvalidError: `dataset.reference`.
        """
        name, at, number = text.partition("@")
        if not _NAME.fullmatch(name) or (at and not _NUMBER.fullmatch(number)):
            raise InvalidError("dataset.reference", f"{text[:80]!r} does not name a dataset.", field="dataset",
                               value=text[:80], fix="Write a name, or name@number for one version.")
        return cls(name, int(number) if at else 0)


Progress = Callable[[float, str], None]


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _bad_report(problem: str) -> WorkloadError:
    return WorkloadError("data.bad_report", f"The fenced reader's report can't be used: {problem}.",
                         fix="Ingest the file again; if it stays so, report it as a defect.")
