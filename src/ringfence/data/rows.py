"""From rows to views, and the queries that several verbs share."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ringfence.data.declaration import parse
from ringfence.data.domain import DatasetView, Finding, Landing, Measured, State, VersionRef, VersionView
from ringfence.data.tables import DatasetRow, LandingRow, VersionRow
from ringfence.errors import MissingError


def dataset_row(session: Session, project: str, name: str) -> DatasetRow:
    """Return a dataset's row.

    Raises:
        MissingError: there is none of that name in the project.
    """
    row = session.scalars(select(DatasetRow).where(DatasetRow.project == project, DatasetRow.name == name)).first()
    if row is None:
        raise MissingError("dataset.missing", f"There is no dataset {name[:80]!r}.", field="dataset", value=name[:80],
                           fix="`ringfence data list` shows those that there are; `ringfence data declare` adds one.")
    return row


def landing_row(session: Session, dataset: DatasetRow) -> LandingRow | None:
    """Return the raw file that is current, if there is one."""
    return session.get(LandingRow, dataset.landing) if dataset.landing else None


def findings_of(row: LandingRow | None) -> tuple[Finding, ...]:
    """Return what classification found in a raw file; nothing before it was classified."""
    if row is None or row.findings is None:
        return ()
    return tuple(Finding(**finding) for finding in json.loads(row.findings))


def version_rows(session: Session, dataset: DatasetRow) -> Sequence[VersionRow]:
    """Return a dataset's versions, the oldest first."""
    return session.scalars(select(VersionRow).where(VersionRow.dataset == dataset.id).order_by(VersionRow.number)).all()


def version_row(session: Session, project: str, ref: str) -> tuple[DatasetRow, VersionRow]:
    """Return one version, the latest where `ref` names none, and its dataset.

    Raises:
        MissingError: there is none. InvalidError: `ref` is no reference.
    """
    wanted = VersionRef.parse(ref)
    dataset = dataset_row(session, project, wanted.name)
    versions = [row for row in version_rows(session, dataset) if wanted.number in (0, row.number)]
    if not versions:
        raise MissingError("dataset.no_version", f"There is no released version {ref[:80]}.", field="dataset",
                           value=ref[:80], fix=f"`ringfence data show {wanted.name}` lists its versions.")
    return dataset, versions[-1]


def next_number(session: Session, dataset: DatasetRow, table: type[LandingRow] | type[VersionRow]) -> int:
    """Return the number of the dataset's next landing or version."""
    last = session.scalar(select(func.max(table.number)).where(table.dataset == dataset.id))
    return int(last or 0) + 1


def version_view(dataset: DatasetRow, row: VersionRow) -> VersionView:
    """Return a version without its example."""
    declaration = parse(row.declaration)
    return VersionView(
        ref=f"{dataset.name}@{row.number}", name=dataset.name, number=row.number, digest=row.digest, size=row.size,
        purpose=declaration.purpose, residency=declaration.residency, source=row.source,
        declaration_digest=declaration.digest, measured=Measured.from_json(json.loads(row.measured)),
        released_at=row.released_at, released_by=row.released_by)


def dataset_view(session: Session, row: DatasetRow) -> DatasetView:
    """Return a dataset with all that is known of it, examples excepted."""
    landing = landing_row(session, row)
    landed = landing and Landing(landing.digest, landing.size, landing.rows, tuple(json.loads(landing.columns)),
                                 landing.landed_at)
    return DatasetView(row.name, State(row.state), parse(row.declaration), landed or None, findings_of(landing),
                       row.refusal, tuple(version_view(row, version) for version in version_rows(session, row)))
