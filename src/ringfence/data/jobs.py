"""The handlers of the queued jobs: parse, classify, de-identify, each in a fence, each idempotent after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.data.declaration import Declaration, parse
from ringfence.data.domain import Finding, Measured, State, readable_identifiers, require_transition
from ringfence.data.fenced import FencedReader
from ringfence.data.rows import dataset_row, findings_of, landing_row, next_number, version_view
from ringfence.data.tables import DatasetRow, LandingRow, VersionRow
from ringfence.errors import ConflictError, DeniedError, RingfenceError, UnavailableError, WorkloadError
from ringfence.jobs.domain import JobContext, JobView
from ringfence.jobs.tables import JobRow
from ringfence.storage.blobs import BlobStore, Zone
from ringfence.storage.database import Database
from ringfence.storage.ids import new_id
from ringfence.trust.domain import Action, Resource
from ringfence.trust.gate import Gate, IntentRow, OpenIntent
from ringfence.trust.keys.keys import Keys

INGEST, CLASSIFY, RELEASE = "dataset.ingest", "dataset.classify", "dataset.release"
TOKENS = "tokens"  # the keys' purpose; its context is the scope: one dataset of one project


class DataJobs:
    """What the worker does with raw files; see DataService for the verbs that queue it."""

    def __init__(self, gate: Gate, database: Database, blobs: BlobStore, fenced: FencedReader, keys: Keys) -> None:
        self._gate, self._database, self._blobs = gate, database, blobs
        self._fenced, self._keys = fenced, keys

    def execute_ingest(self, job: JobView, context: JobContext) -> dict[str, Any]:
        """Parse an uploaded file in a fence; one that does not pass leaves nothing behind.

        Raises:
            WorkloadError: `data.malformed`, `data.unknown_column`, ...; its bytes are removed.
        """
        name, blob, digest = (str(job.payload[key]) for key in ("dataset", "blob", "digest"))
        with self._database.reading() as session:
            row = dataset_row(session, job.project, name)
            done = session.get(LandingRow, blob)
        if done:
            return _landed(done)
        try:
            with self._raw(job, context, name, blob, digest) as source:
                rows, columns = self._fenced.parse(job.id, source, parse(row.declaration), context)
            if rows == 0:
                raise WorkloadError("data.empty", "The file has a header and no rows.", fix="Send the rows as well.")
            landed, superseded = self._accept(job, context, rows, columns)
        except UnavailableError:
            raise  # it is no fault of the file: where the disk is full this job may be done again
        except Exception:
            if not context.should_stop():
                self._blobs.delete(Zone.LANDING, blob)
            raise
        if superseded:
            self._blobs.delete(Zone.LANDING, superseded)
        self.sweep()
        return landed

    def _accept(self, job: JobView, context: JobContext, rows: int, columns: list[dict[str, str]],
                ) -> tuple[dict[str, Any], str]:
        name, blob, digest = (str(job.payload[key]) for key in ("dataset", "blob", "digest"))
        facts = context.policy_context(digest=digest, rows=rows, columns=len(columns))
        with self._gate.act(context.actor, Action.DATASET_INGEST, Resource("dataset", name, job.project),
                            facts) as permit:
            row = dataset_row(permit.session, job.project, name)
            landing = LandingRow(blob=blob, dataset=row.id, number=next_number(permit.session, row, LandingRow),
                                 digest=digest, size=int(job.payload["size"]), rows=rows, columns=json.dumps(columns),
                                 landed_by=job.submitted_by, landed_at=datetime.now(UTC).isoformat())
            permit.session.add(landing)
            superseded, row.landing = row.landing, blob
            row.state, row.refusal = State.LANDED.value, ""
            return _landed(landing), superseded

    def execute_classify(self, job: JobView, context: JobContext) -> dict[str, Any]:
        """Find, in a fence, what identifies people in the raw file."""
        name = str(job.payload["dataset"])
        landing, findings = self._landing(job)
        if not findings:
            facts = context.policy_context(digest=landing.digest)
            columns = [column["name"] for column in json.loads(landing.columns)]
            with self._gate.intend(context.actor, Action.DATASET_CLASSIFY, Resource("dataset", name, job.project),
                                   facts) as intent:
                with self._raw(job, context, name, landing.blob, landing.digest) as source:
                    findings = self._fenced.classify(job.id, source, columns, context)
                intent.record(types={finding.name: finding.type for finding in findings})
                with intent.completing() as session:
                    self._keep_findings(session, job, findings)
        return {"columns": [finding.as_json() for finding in findings]}

    def _keep_findings(self, session: Session, job: JobView, findings: tuple[Finding, ...]) -> None:
        row = dataset_row(session, job.project, str(job.payload["dataset"]))
        landing = session.get(LandingRow, str(job.payload["landing"]))
        if landing is None or row.landing != landing.blob:
            raise _superseded(row.name)
        landing.findings = json.dumps([finding.as_json() for finding in findings])
        row.state = require_transition(State(row.state), State.CLASSIFIED).value

    def execute_release(self, job: JobView, context: JobContext) -> dict[str, Any]:
        """De-identify the raw file in a fence, measure the result, and let policy decide whether it becomes a version.

        Raises:
            WorkloadError: `data.identifier_kept`, `data.too_much_suppressed`, ... DeniedError: policy refused.
            Nothing of the result is kept then.
        """
        with self._database.reading() as session:
            done = session.scalars(select(VersionRow).where(VersionRow.job == job.id)).first()
            row = dataset_row(session, job.project, str(job.payload["dataset"]))
        if done:
            return version_view(row, done).as_json()
        landing, findings = self._landing(job)
        try:
            return self._release(job, context, landing, findings)
        except (DeniedError, WorkloadError) as error:
            if isinstance(error, DeniedError) or error.code.startswith("data."):
                self._refuse(job, error)
            raise

    def _release(self, job: JobView, context: JobContext, landing: LandingRow, findings: tuple[Finding, ...],
                 ) -> dict[str, Any]:
        name, declaration = str(job.payload["dataset"]), parse(str(job.payload["declaration"]))
        resource = Resource("dataset", name, job.project)
        facts = context.policy_context(digest=landing.digest, declaration=declaration.digest,
                                       purpose=declaration.purpose)
        scope = self._keys.derive(TOKENS, f"{job.project}/{name}")
        with self._raw(job, context, name, landing.blob, landing.digest) as source:
            intent_to = self._gate.intend(context.actor, Action.DATASET_DEIDENTIFY, resource, facts)
            with intent_to as intent, self._fenced.deidentified(
                    job.id, source, scope_key=scope, declaration=declaration, findings=findings,
                    context=context) as (measured, example, parquet):
                intent.record(rows=measured.rows, k=measured.k, suppressed_share=measured.suppressed_share)
                with intent.completing():
                    pass
                return self._keep(job, context, measured, facts=_facts(declaration, findings, measured),
                                  example=example, parquet=parquet)

    def _keep(self, job: JobView, context: JobContext, measured: Measured, *, facts: dict[str, Any],
              example: bytes, parquet: int) -> dict[str, Any]:
        identifier = new_id("version")
        blob, shown = f"dataset/{identifier}", f"example/{identifier}"
        resource = Resource("dataset", str(job.payload["dataset"]), job.project)
        with self._gate.intend(context.actor, Action.DATASET_RELEASE, resource, context.policy_context(**facts),
                               {"blob": blob, "example": shown}) as intent:
            try:
                self._blobs.put(Zone.LANDING, shown, example)
                stored = self._blobs.put_descriptor(Zone.PROCESSING, blob, parquet)
                with intent.completing() as session:
                    row, landing = self._current(session, job)
                    version = VersionRow(
                        blob=blob, dataset=row.id, number=next_number(session, row, VersionRow), digest=stored.digest,
                        size=stored.size, job=job.id, landing=landing.blob, source=landing.digest, example=shown,
                        declaration=str(job.payload["declaration"]), measured=json.dumps(measured.as_json()),
                        released_by=job.submitted_by, released_at=datetime.now(UTC).isoformat())
                    session.add(version)
                    row.state, row.refusal = require_transition(State(row.state), State.RELEASED).value, ""
                    intent.record(version=f"{row.name}@{version.number}", digest=stored.digest, rows=measured.rows)
            except BaseException:
                if not intent.completed:
                    self._remove(blob, shown)
                raise
            return version_view(row, version).as_json()

    def _current(self, session: Session, job: JobView) -> tuple[DatasetRow, LandingRow]:
        row = dataset_row(session, job.project, str(job.payload["dataset"]))
        landing = landing_row(session, row)
        if landing is None or landing.blob != job.payload["landing"]:
            raise _superseded(row.name)
        return row, landing

    def settle_release(self, intent: OpenIntent) -> str:
        """Finish or undo a release whose process died: what no version names is removed."""
        blob, example = str(intent.details.get("blob", "")), str(intent.details.get("example", ""))
        with self._database.reading() as session:
            if not blob or session.get(VersionRow, blob) is not None:
                return "done"
        self._remove(blob, example)
        return "what it had written was removed; its job does it again"

    def sweep(self) -> int:
        """Remove raw files that nothing leads to any more: superseded ones, and those of workers that died. At start.

        Returns how many there were. An upload in progress is not disturbed: its intent names it.
        """
        stored = [name for name in self._blobs.list(Zone.LANDING) if name.startswith("raw/")]
        with self._database.reading() as session:
            wanted = set(session.scalars(select(DatasetRow.landing)))
            waiting = select(JobRow.payload).where(JobRow.kind == INGEST, JobRow.state.in_(("queued", "running")))
            wanted |= {json.loads(payload)["blob"] for payload in session.scalars(waiting)}
            flying = select(IntentRow.details).where(IntentRow.action == Action.DATASET_INGEST)
            wanted |= {json.loads(details).get("blob") for details in session.scalars(flying)}
        orphans = [name for name in stored if name not in wanted]
        for name in orphans:
            self._blobs.delete(Zone.LANDING, name)
        return len(orphans)

    def _remove(self, blob: str, example: str) -> None:
        self._blobs.delete(Zone.PROCESSING, blob)
        self._blobs.delete(Zone.LANDING, example)

    def _refuse(self, job: JobView, error: RingfenceError) -> None:
        with self._database.transaction() as session:
            row = dataset_row(session, job.project, str(job.payload["dataset"]))
            if row.landing == job.payload["landing"]:
                row.state = require_transition(State(row.state), State.REFUSED).value
                row.refusal = error.line()[:2000]

    def _landing(self, job: JobView) -> tuple[LandingRow, tuple[Finding, ...]]:
        with self._database.reading() as session:
            _, landing = self._current(session, job)
            return landing, findings_of(landing)

    @contextmanager
    def _raw(self, job: JobView, context: JobContext, name: str, blob: str, digest: str) -> Iterator[int]:
        """Open a raw file for a fence: sealed memory, never a file; recorded before it is decrypted."""
        facts = context.policy_context(digest=digest, job=job.kind)
        with self._gate.read(context.actor, Action.DATASET_READ_RAW, Resource("dataset", name, job.project), facts):
            descriptor = self._blobs.open(Zone.LANDING, blob, digest)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _facts(declaration: Declaration, findings: tuple[Finding, ...], measured: Measured) -> dict[str, Any]:
    """Return what policy decides a release by."""
    return {"phase": "measured", "purpose": declaration.purpose, "residency": declaration.residency, "k": measured.k,
            "declared_k": declaration.anonymity.k, "suppressed_share": measured.suppressed_share,
            "max_suppressed_share": declaration.anonymity.max_suppressed_share, "columns": measured.names,
            "columns_removed": list(measured.columns_removed), "rows": measured.rows, "subjects": measured.subjects,
            "quasi_identifiers": list(declaration.anonymity.quasi_identifiers),
            "identifiers": readable_identifiers(declaration, findings),
            "findings": {finding.name: finding.type for finding in findings}}


def _landed(row: LandingRow) -> dict[str, Any]:
    return {"rows": row.rows, "columns": json.loads(row.columns), "digest": row.digest, "size": row.size}


def _superseded(name: str) -> ConflictError:
    return ConflictError("dataset.superseded", f"Another file of {name} has landed meanwhile.", field="dataset",
                         value=name, fix="Classify and release that one.")
