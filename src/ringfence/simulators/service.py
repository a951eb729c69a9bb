"""The simulators' verbs. A bundle is opened, and its code run, only inside a fence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.errors import ConflictError, MissingError, TamperedError, TooLargeError
from ringfence.jobs.domain import JobContext, JobState, JobView
from ringfence.jobs.queue import JobQueue
from ringfence.sandbox.sandbox import Sandbox
from ringfence.simulators import catalogue, sbom
from ringfence.simulators.catalogue import ADMITTED, REMOVED, REMOVING, Verification
from ringfence.simulators.domain import SimulatorView
from ringfence.simulators.examination import Examiner
from ringfence.simulators.scan import Scan
from ringfence.simulators.tables import SimulatorRow
from ringfence.storage.blobs import BlobStore, Stored, Zone
from ringfence.storage.database import Database
from ringfence.storage.ids import new_id
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate, OpenIntent
from ringfence.trust.keys.keys import Keys
from ringfence_workload.wire import memory

ADMIT = "simulator.admit"
MAX_BUNDLE, MAX_BILL = 1 << 30, 64 << 20
# Names the runs that have not ended and use a bundle: (session, project, digest) -> ids.
Users = Callable[[Session, str, str], Sequence[str]]


class SimulatorService:
    """Simulators of a project: immutable bundles, known by digest, signed when they are admitted."""

    def __init__(self, gate: Gate, database: Database, blobs: BlobStore, queue: JobQueue, *, sandbox: Sandbox,
                 keys: Keys, users: Users, max_bundle: int = MAX_BUNDLE) -> None:
        self._gate, self._database, self._blobs, self._queue = gate, database, blobs, queue
        self._sandbox, self._keys, self._users, self._max_bundle = sandbox, keys, users, max_bundle

    def build(self, actor: Actor, stream: Iterable[bytes]) -> JobView:
        """Store a bundle and queue its inspection; a bundle that is known already keeps its first job.

        Raises:
            DeniedError: policy refused; nothing is stored.
            TooLargeError: the bundle is over the limit.
            UnavailableError: the disk is full.
        """
        blob = f"bundle/{new_id('bundle')}"
        resource = Resource("simulator", blob.partition("/")[2], actor.project)
        with self._gate.intend(actor, Action.SIMULATOR_BUILD, resource, details={"blob": blob}) as intent:
            stored = self._store(blob, stream)
            intent.record(digest=stored.digest, size=stored.size)
            with intent.completing() as session:
                job = self._submit(session, actor, blob, stored.digest)
        if job.payload["blob"] != blob:
            self._blobs.delete(Zone.SIMULATORS, blob)
        return job

    def _submit(self, session: Session, actor: Actor, blob: str, digest: str) -> JobView:
        """Queue the inspection; the finished job of a bundle that was removed since does not stand for it any more."""
        key = f"{ADMIT}:{digest}"
        for each in (key, f"{key}:{blob}"):
            job = self._queue.submit(session, ADMIT, {"blob": blob, "digest": digest}, submitted_by=actor.id,
                                     project=actor.project, key=each)
            if job.state != JobState.DONE or catalogue.admitted(session, actor.project, digest):
                break
        return job

    def _store(self, blob: str, stream: Iterable[bytes]) -> Stored:
        size = 0
        with self._blobs.writer(Zone.SIMULATORS, blob) as writer:
            for chunk in stream:
                size += len(chunk)
                if size > self._max_bundle:
                    raise TooLargeError("simulator.too_large", f"The bundle is over {self._max_bundle} bytes.",
                                        field="bundle", fix="Leave out what the simulator does not need to run.")
                writer.write(chunk)
            return writer.commit()

    def settle_build(self, intent: OpenIntent) -> str:
        """Undo an upload whose process died: no job owns its bundle, which is removed."""
        self._blobs.delete(Zone.SIMULATORS, str(intent.details["blob"]))
        return "its upload was removed"

    def execute_admit(self, job: JobView, context: JobContext) -> dict[str, Any]:
        """Scan and try a stored bundle in fences and admit it: the handler of the job that `build` queued.

        Raises:
            WorkloadError: the bundle is bad; it is removed.
            ConflictError: its name and version belong to another bundle; it is removed.
            DeniedError: policy refused, for instance what the scan found; it is removed.
        """
        blob, digest = str(job.payload["blob"]), str(job.payload["digest"])
        with self._database.reading() as session:
            known = catalogue.admitted(session, job.project, digest)
            if known is not None:
                if known.blob != blob:
                    self._discard(blob)
                return catalogue.view(known).as_json()
        try:
            return self._admit(context, blob, digest).as_json()
        except Exception:
            if not context.should_stop():
                self._discard(blob)
            raise

    def _admit(self, context: JobContext, blob: str, digest: str) -> SimulatorView:
        bundle = self._blobs.open(Zone.SIMULATORS, blob, digest)
        examiner = Examiner(self._sandbox, bundle, blob.partition("/")[2], context.should_stop)
        try:
            context.progress(0.1, "looking through its files in a fence")
            scan, contents = examiner.scan()
            context.progress(0.4, "trying the simulator in a fence")
            manifest = examiner.inspect()
        finally:
            os.close(bundle)
        bill = self._blobs.put(Zone.SIMULATORS, _bill(blob), sbom.compose(manifest, digest, contents))
        scan = replace(scan, sbom=bill.digest)
        facts = context.policy_context(digest=digest, version=manifest.version, licences=list(manifest.licences),
                                       **scan.as_facts())
        project = context.actor.project
        with self._gate.act(context.actor, Action.SIMULATOR_ADMIT, Resource("simulator", manifest.name, project),
                            facts) as permit:
            catalogue.require_new(permit.session, project, manifest, digest)
            row = catalogue.signed_row(self._keys, project, blob, digest=digest, manifest=manifest, scan=scan)
            permit.session.add(row)
            permit.record(digest=digest, version=manifest.version, sbom=bill.digest)
            return catalogue.view(row)

    def list(self, actor: Actor) -> list[SimulatorView]:
        """Return the admitted simulators of the actor's project, by name, the latest last."""
        with self._gate.read(actor, Action.SIMULATOR_LIST, Resource("simulator", "*", actor.project)) as session:
            rows = select(SimulatorRow).where(SimulatorRow.project == actor.project, SimulatorRow.state == ADMITTED)
            return [catalogue.view(row)
                    for row in session.scalars(rows.order_by(SimulatorRow.name, SimulatorRow.admitted_at))]

    def show(self, actor: Actor, ref: str) -> SimulatorView:
        """Return a simulator: `name` (the latest), `name@version` or its digest.

        Raises:
            MissingError: there is none.
        """
        with self._gate.read(actor, Action.SIMULATOR_SHOW, _named(actor, ref)) as session:
            return catalogue.view(catalogue.find(session, actor.project, ref))

    def sbom(self, actor: Actor, ref: str) -> dict[str, Any]:
        """Return a simulator's bill of materials, CycloneDX 1.6.

        Raises:
            MissingError: there is no such simulator, or it was admitted before there were bills of materials.
            TamperedError: the stored bytes are not those of its admission.
        """
        with self._gate.read(actor, Action.SIMULATOR_SHOW, _named(actor, ref)) as session:
            row = catalogue.find(session, actor.project, ref)
        bill: dict[str, Any] = json.loads(self._read_bill(row, catalogue.view(row).scan))
        return bill

    def verify(self, actor: Actor, ref: str) -> Verification:
        """Read what is stored and say whether it is what was admitted: signature, bundle, bill of materials.

        Raises:
            MissingError: there is no such simulator.
        """
        with self._gate.read(actor, Action.SIMULATOR_SHOW, _named(actor, ref)) as session:
            row = catalogue.find(session, actor.project, ref)
        view, problem = catalogue.view(row), ""
        try:
            os.close(self._open(row))
            if view.scan:
                self._read_bill(row, view.scan)
        except (TamperedError, MissingError) as error:
            problem = error.message
        return Verification(view.ref, view.digest, not problem, problem)

    def remove(self, actor: Actor, ref: str) -> SimulatorView:
        """Delete a simulator's bundle, named by version or digest; its version is not given out again.

        Raises:
            InvalidError: the reference leaves the version open.
            MissingError: there is none.
            ConflictError: a run that has not ended uses it.
        """
        with self._gate.intend(actor, Action.SIMULATOR_REMOVE, _named(actor, ref)) as intent:
            catalogue.require_exact(ref)
            with self._database.transaction() as session:
                row = catalogue.find(session, actor.project, ref, (ADMITTED, REMOVING))
                self._require_unused(session, row)
                row.state = REMOVING
                view, blob = replace(catalogue.view(row), state=REMOVED), row.blob
            self._discard(blob)
            intent.record(digest=view.digest, version=view.version, name=view.name)
            with intent.completing() as session:
                session.get_one(SimulatorRow, blob).state = REMOVED
        return view

    def settle_remove(self, intent: OpenIntent) -> str:
        """Finish the removals of a process that died."""
        with self._database.transaction() as session:
            rows = list(session.scalars(select(SimulatorRow).where(SimulatorRow.project == intent.resource.project,
                                                                   SimulatorRow.state == REMOVING)))
            for row in rows:
                self._discard(row.blob)
                row.state = REMOVED
        return "done" if rows else "nothing was removed"

    def open_bundle(self, actor: Actor, digest: str, context: Mapping[str, Any] | None = None) -> int:
        """Return a sealed memory file with an admitted bundle, for a run that names it by digest.

        Raises:
            MissingError: no bundle of that digest is admitted.
            TamperedError: the catalogue's signature or the stored bytes do not hold.
        """
        with self._gate.read(actor, Action.SIMULATOR_SHOW, _named(actor, digest), context) as session:
            row = catalogue.find(session, actor.project, digest)
        return self._open(row)

    def _open(self, row: SimulatorRow) -> int:
        catalogue.require_signed(self._keys, row)
        return self._blobs.open(Zone.SIMULATORS, row.blob, row.digest)

    def _read_bill(self, row: SimulatorRow, scan: Scan | None) -> bytes:
        if scan is None:
            raise MissingError("simulator.no_sbom", f"{row.name}@{row.version} was admitted without a bill of "
                               "materials.", field="simulator", fix="Build it again under another version.")
        bill = self._blobs.open(Zone.SIMULATORS, _bill(row.blob), scan.sbom)
        try:
            return memory.read_all(bill, MAX_BILL)
        finally:
            os.close(bill)

    def _require_unused(self, session: Session, row: SimulatorRow) -> None:
        users = self._users(session, row.project, row.digest)
        if users:
            raise ConflictError("simulator.in_use", f"{row.name}@{row.version} is used by {', '.join(users[:5])}.",
                                field="simulator", value=row.digest, fix="Wait until these runs have ended.")

    def _discard(self, blob: str) -> None:
        for name in (blob, _bill(blob)):
            self._blobs.delete(Zone.SIMULATORS, name)


def _bill(blob: str) -> str:
    return f"sbom/{blob.partition('/')[2]}"


def _named(actor: Actor, ref: str) -> Resource:
    return Resource("simulator", ref[:80], actor.project)
