"""The datasets' verbs. Raw bytes go from the caller into the encrypted landing zone, and thence only into a fence."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from ringfence.data.declaration import Declaration, parse
from ringfence.data.domain import DatasetView, State, VersionView, require_transition
from ringfence.data.fenced import FencedReader
from ringfence.data.jobs import CLASSIFY, INGEST, RELEASE, DataJobs
from ringfence.data.rows import dataset_row, dataset_view, landing_row, version_row, version_view
from ringfence.data.tables import DatasetRow
from ringfence.errors import ConflictError, InvalidError, RingfenceError, TooLargeError
from ringfence.jobs.domain import JobView
from ringfence.jobs.queue import JobQueue
from ringfence.sandbox.sandbox import Sandbox
from ringfence.storage.blobs import BlobStore, Stored, Zone
from ringfence.storage.database import Database
from ringfence.storage.ids import new_id
from ringfence.trust.domain import Action, Actor, Resource, Role
from ringfence.trust.gate import Gate, OpenIntent
from ringfence.trust.keys.keys import Keys
from ringfence_workload.wire import memory

MAX_RAW = 8 << 30
NOTHING: Mapping[str, Any] = {}


class DataService(DataJobs):
    """Datasets of a project. `execute_*` (see DataJobs) are the handlers of the jobs that the verbs queue."""

    def __init__(self, gate: Gate, database: Database, blobs: BlobStore, queue: JobQueue, *, sandbox: Sandbox,
                 keys: Keys, max_raw: int = MAX_RAW) -> None:
        super().__init__(gate, database, blobs, FencedReader(sandbox), keys)
        self._queue, self._max_raw = queue, max_raw

    def declare(self, actor: Actor, text: str) -> DatasetView:
        """Declare a dataset in YAML, or change its declaration; versions released before keep theirs.

        Raises:
            InvalidError: the declaration can't be taken; `field` names what is wrong.
            ConflictError: it is declared so already.
        """
        declaration, problem = _parsed(text)
        name = declaration.name if declaration else "unreadable"
        facts = {"purpose": declaration.purpose, "residency": declaration.residency} if declaration else NOTHING
        with self._gate.act(actor, Action.DATASET_DECLARE, _resource(actor, name), facts) as permit:
            if declaration is None:
                raise problem or InvalidError("declaration.unreadable", "The declaration can't be read.")
            permit.record(declaration=declaration.digest)
            session = permit.session
            row = session.scalars(select(DatasetRow).where(
                DatasetRow.project == actor.project, DatasetRow.name == name)).first()
            if row is None:
                row = DatasetRow(id=new_id("dataset"), project=actor.project, name=name, state=State.DECLARED.value,
                                 refusal="", landing="")
                session.add(row)
            elif parse(row.declaration).digest == declaration.digest:
                raise ConflictError("dataset.declared", f"{name} is declared like this already.", field="name",
                                    value=name, fix="Go on with it, or change the declaration.")
            row.declaration, row.declared_by, row.declared_at = text, actor.id, datetime.now(UTC).isoformat()
            session.flush()
            return dataset_view(session, row)

    def ingest(self, actor: Actor, name: str, chunks: Iterable[bytes], sha256: str | None = None) -> JobView:
        """Stream a raw CSV file into the landing zone and queue its parsing in a fence.

        `sha256` (hex) is what the caller says the bytes have. The same file again is the same job, unless that failed.

        Raises:
            MissingError: the dataset is not declared. DeniedError: policy refused. Nothing is stored then, nor if:
            InvalidError: the bytes are not those of `sha256`. TooLargeError. UnavailableError: the disk is full.
        """
        blob = f"raw/{new_id('raw')}"
        with self._gate.intend(actor, Action.DATASET_INGEST, _resource(actor, name), details={"blob": blob}) as intent:
            with self._database.reading() as session:
                dataset_row(session, actor.project, name)
            stored = self._store(blob, chunks, sha256)
            intent.record(digest=stored.digest, size=stored.size)
            try:
                with intent.completing() as session:
                    row = dataset_row(session, actor.project, name)
                    current = landing_row(session, row)
                    before = (current.number - (current.digest == stored.digest)) if current else 0
                    payload = {"dataset": name, "blob": blob, "digest": stored.digest, "size": stored.size}
                    job = self._queue.submit(session, INGEST, payload, submitted_by=actor.id, project=actor.project,
                                             key=f"{INGEST}:{name}:{before}:{stored.digest}")
            except BaseException:
                if not intent.completed:
                    self._blobs.delete(Zone.LANDING, blob)
                raise
        if job.payload["blob"] != blob:
            self._blobs.delete(Zone.LANDING, blob)
        return job

    def _store(self, blob: str, chunks: Iterable[bytes], sha256: str | None) -> Stored:
        size, seen = 0, hashlib.sha256()
        with self._blobs.writer(Zone.LANDING, blob) as writer:
            for chunk in chunks:
                size += len(chunk)
                if size > self._max_raw:
                    raise TooLargeError("data.too_large", f"The file is over {self._max_raw:,} bytes.", field="file",
                                        fix="Split it into several datasets.")
                seen.update(chunk)
                writer.write(chunk)
            if sha256 and seen.hexdigest() != sha256.lower():
                raise InvalidError("data.digest", "The bytes that arrived are not those that were announced.",
                                   field="sha256", value=sha256[:64], fix="Send the file again.")
            return writer.commit()

    def settle_ingest(self, intent: OpenIntent) -> str:
        """Undo an upload whose process died: no job owns its bytes, which are removed."""
        if "blob" in intent.details:
            self._blobs.delete(Zone.LANDING, str(intent.details["blob"]))
        return "its upload was removed"

    def classify(self, actor: Actor, name: str) -> JobView:
        """Queue the classification of the raw file.

        Raises:
            ConflictError: no file has landed.
        """
        with self._gate.act(actor, Action.DATASET_CLASSIFY, _resource(actor, name)) as permit:
            row = dataset_row(permit.session, actor.project, name)
            if row.state == State.DECLARED:
                require_transition(State(row.state), State.CLASSIFIED)
            payload = {"dataset": name, "landing": row.landing}
            return self._queue.submit(permit.session, CLASSIFY, payload, submitted_by=actor.id, project=actor.project,
                                      key=f"{CLASSIFY}:{name}:{row.landing}")

    def release(self, actor: Actor, name: str) -> JobView:
        """Queue the release of the raw file by the declaration: policy decides now, and again on what was measured.

        Raises:
            ConflictError: no file has landed, or it is not classified.
        """
        with self._gate.act(actor, Action.DATASET_RELEASE, _resource(actor, name), self._asked(actor, name)) as permit:
            row = dataset_row(permit.session, actor.project, name)
            require_transition(State(row.state), State.RELEASED)
            declaration = parse(row.declaration)
            permit.record(declaration=declaration.digest)
            payload = {"dataset": name, "landing": row.landing, "declaration": row.declaration}
            return self._queue.submit(permit.session, RELEASE, payload, submitted_by=actor.id, project=actor.project,
                                      key=f"{RELEASE}:{name}:{row.landing}:{declaration.digest}")

    def _asked(self, actor: Actor, name: str) -> dict[str, Any]:
        """Return the facts of a request; those of a dataset that is not there are left out, and policy never learns."""
        with self._database.reading() as session:
            row = session.scalars(select(DatasetRow).where(
                DatasetRow.project == actor.project, DatasetRow.name == name)).first()
        if row is None:
            return {"phase": "request"}
        declaration = parse(row.declaration)
        return {"phase": "request", "purpose": declaration.purpose, "residency": declaration.residency,
                "columns": [rule.name for rule in declaration.outputs], "declared_k": declaration.anonymity.k}

    def read_raw(self, actor: Actor, name: str) -> None:
        """Ask for the raw file. The worker alone may, and it gets it only inside a job: nothing is handed out here.

        Raises:
            DeniedError: policy refused, as it does every person.
        """
        with self._gate.read(actor, Action.DATASET_READ_RAW, _resource(actor, name)) as session:
            dataset_row(session, actor.project, name)

    def list(self, actor: Actor) -> builtins.list[DatasetView]:
        """Return the project's datasets, by name."""
        with self._gate.read(actor, Action.DATASET_LIST, _resource(actor, "*")) as session:
            rows = session.scalars(select(DatasetRow).where(DatasetRow.project == actor.project))
            return [dataset_view(session, row) for row in sorted(rows, key=lambda row: row.name)]

    def show(self, actor: Actor, name: str) -> DatasetView:
        """Return a dataset with its findings and versions; to a data steward, with a row before and after.

        Raises:
            MissingError: there is none of that name.
        """
        steward = Role.DATA_STEWARD in actor.roles
        with self._gate.read(actor, Action.DATASET_SHOW, _resource(actor, name), {"example": steward}) as session:
            row = dataset_row(session, actor.project, name)
            view = dataset_view(session, row)
            if not steward:
                return view
            versions = tuple(replace(version, example=self._example(version_row(session, actor.project, version.ref)[1]
                                                                    .example)) for version in view.versions)
            return replace(view, versions=versions)

    def _example(self, blob: str) -> Mapping[str, Any] | None:
        if not self._blobs.exists(Zone.LANDING, blob):
            return None
        descriptor = self._blobs.open(Zone.LANDING, blob)
        try:
            example: dict[str, Any] = json.loads(memory.read_all(descriptor, 1 << 21))
            return example
        finally:
            os.close(descriptor)

    def find_version(self, actor: Actor, ref: str) -> VersionView:
        """Return a released version: `name@1`, or the latest of `name`.

        Raises:
            MissingError: there is none. InvalidError: it is no reference.
        """
        with self._gate.read(actor, Action.DATASET_SHOW, _resource(actor, ref[:80])) as session:
            return version_view(*version_row(session, actor.project, ref))

    def open_columns(self, actor: Actor, version: str, columns: Sequence[str], purpose: str,
                     on_behalf_of: Actor) -> int:
        """Return a sealed memory file (the caller's): an Arrow IPC file with just these columns, in this order.

        A trusted reader copies them in a fence of its own; the record is durable before the first byte is read.

        Raises:
            DeniedError: the dataset serves another purpose, or a column is not the version's.
            MissingError: there is no such version. TamperedError: its bytes are not those that were released.
        """
        with self._database.reading() as session:
            found = version_view(*version_row(session, actor.project, version))
        facts = {"purpose": purpose, "dataset_purpose": found.purpose, "columns": list(columns),
                 "granted_columns": found.columns, "residency": found.residency, "digest": found.digest,
                 "on_behalf_of": on_behalf_of.as_input()}
        with self._gate.read(actor, Action.DATASET_READ, _resource(actor, found.ref), facts) as session:
            _, row = version_row(session, actor.project, found.ref)
        parquet = self._blobs.open(Zone.PROCESSING, row.blob, row.digest)
        try:
            return self._fenced.read(row.blob.partition("/")[2], parquet, columns)
        finally:
            os.close(parquet)


def _parsed(text: str) -> tuple[Declaration | None, RingfenceError | None]:
    try:
        return parse(text), None
    except RingfenceError as error:
        return None, error


def _resource(actor: Actor, name: str) -> Resource:
    return Resource("dataset", name[:80], actor.project)
