"""The simulators' verbs. A bundle is opened, and its code run, only inside a fence."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.errors import ConflictError, MissingError, TamperedError, TooLargeError
from ringfence.jobs.domain import JobContext, JobView
from ringfence.jobs.queue import JobQueue
from ringfence.sandbox.sandbox import FenceSpec, Sandbox
from ringfence.sandbox.tasks import close_outputs, run_task
from ringfence.simulators.domain import Manifest, SimulatorRef, SimulatorView
from ringfence.simulators.tables import SimulatorRow
from ringfence.storage.blobs import BlobStore, Stored, Zone
from ringfence.storage.database import Database
from ringfence.storage.ids import new_id
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate, OpenIntent
from ringfence.trust.keys.keys import Keys

ADMIT = "simulator.admit"
SIGNING = "simulators"
MAX_BUNDLE = 1 << 30


class SimulatorService:
    """Simulators of a project: immutable bundles, known by digest, signed when they are admitted."""

    def __init__(self, gate: Gate, database: Database, blobs: BlobStore, queue: JobQueue, *, sandbox: Sandbox,
                 keys: Keys, max_bundle: int = MAX_BUNDLE) -> None:
        self._gate, self._database, self._blobs, self._queue = gate, database, blobs, queue
        self._sandbox, self._keys, self._max_bundle = sandbox, keys, max_bundle

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
                job = self._queue.submit(session, ADMIT, {"blob": blob, "digest": stored.digest}, submitted_by=actor.id,
                                         project=actor.project, key=f"{ADMIT}:{stored.digest}")
        if job.payload["blob"] != blob:
            self._blobs.delete(Zone.SIMULATORS, blob)
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
        """Inspect a stored bundle in a fence and admit it: the handler of the job that `build` queued.

        Raises:
            WorkloadError: the bundle is bad; it is removed.
            ConflictError: its name and version belong to another bundle; it is removed.
            DeniedError: policy refused; it is removed.
        """
        blob, digest = str(job.payload["blob"]), str(job.payload["digest"])
        known = self._admitted(job.project, digest)
        if known is not None:
            return known.as_json()
        try:
            return self._admit(context, blob, digest).as_json()
        except Exception:
            if not context.should_stop():
                self._blobs.delete(Zone.SIMULATORS, blob)
            raise

    def _admit(self, context: JobContext, blob: str, digest: str) -> SimulatorView:
        context.progress(0.1, "inspecting the simulator in a fence")
        manifest = self._inspect(blob, digest, context)
        facts = context.policy_context(digest=digest, version=manifest.version)
        resource = Resource("simulator", manifest.name, context.actor.project)
        with self._gate.act(context.actor, Action.SIMULATOR_ADMIT, resource, facts) as permit:
            _require_new(permit.session, context.actor.project, manifest)
            signature = self._keys.sign(SIGNING, _statement(manifest.name, manifest.version, digest))
            row = SimulatorRow(blob=blob, project=context.actor.project, name=manifest.name, version=manifest.version,
                               digest=digest, manifest=json.dumps(manifest.as_json()), state="admitted",
                               signature=base64.b64encode(signature).decode(),
                               admitted_at=datetime.now(UTC).isoformat())
            permit.session.add(row)
            permit.record(digest=digest, version=manifest.version)
            return _view(row)

    def _inspect(self, blob: str, digest: str, context: JobContext) -> Manifest:
        bundle = self._blobs.open(Zone.SIMULATORS, blob, digest)
        try:
            result = run_task(self._sandbox, FenceSpec(f"inspect-{blob.partition('/')[2]}"), "simulator.inspect", {},
                              {"bundle": bundle}, should_stop=context.should_stop)
        finally:
            os.close(bundle)
        close_outputs(result)
        return Manifest.from_json(result.values)

    def list(self, actor: Actor) -> list[SimulatorView]:
        """Return the admitted simulators of the actor's project, by name, the latest last."""
        with self._gate.read(actor, Action.SIMULATOR_LIST, Resource("simulator", "*", actor.project)) as session:
            rows = select(SimulatorRow).where(SimulatorRow.project == actor.project)
            return [_view(row) for row in session.scalars(rows.order_by(SimulatorRow.name, SimulatorRow.admitted_at))]

    def show(self, actor: Actor, ref: str) -> SimulatorView:
        """Return a simulator: `name` (the latest), `name@version` or its digest.

        Raises:
            MissingError: there is none.
        """
        with self._gate.read(actor, Action.SIMULATOR_SHOW, Resource("simulator", ref[:80], actor.project)) as session:
            return _view(_find(session, actor.project, ref))

    def open_bundle(self, actor: Actor, digest: str, context: Mapping[str, Any] | None = None) -> int:
        """Return a sealed memory file with an admitted bundle, for a run that names it by digest.

        Raises:
            MissingError: no bundle of that digest is admitted.
            TamperedError: the catalogue's signature or the stored bytes do not hold.
        """
        resource = Resource("simulator", digest, actor.project)
        with self._gate.read(actor, Action.SIMULATOR_SHOW, resource, context) as session:
            row = _find(session, actor.project, digest)
        try:
            key = load_pem_public_key(self._keys.public_key(SIGNING))
            assert isinstance(key, Ed25519PublicKey)
            key.verify(base64.b64decode(row.signature), _statement(row.name, row.version, row.digest))
        except (InvalidSignature, ValueError) as error:
            raise TamperedError("simulator.signature", f"The admission of {row.name}@{row.version} is not signed.",
                                field="simulator", value=digest, fix="Build and admit it again.") from error
        return self._blobs.open(Zone.SIMULATORS, row.blob, row.digest)

    def _admitted(self, project: str, digest: str) -> SimulatorView | None:
        with self._database.reading() as session:
            row = session.scalars(select(SimulatorRow).where(
                SimulatorRow.project == project, SimulatorRow.digest == digest)).first()
            return _view(row) if row else None


def _find(session: Session, project: str, ref: str) -> SimulatorRow:
    wanted = SimulatorRef.parse(ref)
    rows = select(SimulatorRow).where(SimulatorRow.project == project, SimulatorRow.state == "admitted")
    if wanted.digest:
        rows = rows.where(SimulatorRow.digest == wanted.digest)
    else:
        rows = rows.where(SimulatorRow.name == wanted.name)
    if wanted.version:
        rows = rows.where(SimulatorRow.version == wanted.version)
    row = session.scalars(rows.order_by(SimulatorRow.admitted_at.desc()).limit(1)).first()
    if row is None:
        raise MissingError("simulator.missing", f"There is no admitted simulator {ref[:80]}.", field="simulator",
                           value=ref[:80], fix="`ringfence sim list` shows those that there are; "
                           "`ringfence sim build` adds one.")
    return row


def _require_new(session: Session, project: str, manifest: Manifest) -> None:
    taken = session.scalars(select(SimulatorRow).where(
        SimulatorRow.project == project, SimulatorRow.name == manifest.name,
        SimulatorRow.version == manifest.version)).first()
    if taken is not None:
        raise ConflictError("simulator.version_taken",
                            f"{manifest.name}@{manifest.version} is another bundle already ({taken.digest[:19]}…).",
                            field="version", value=manifest.version, fix="Raise the version in simulator.yaml.")


def _view(row: SimulatorRow) -> SimulatorView:
    return SimulatorView(row.name, row.version, row.digest, Manifest.from_json(json.loads(row.manifest)), row.state,
                         row.admitted_at)


def _statement(name: str, version: str, digest: str) -> bytes:
    return json.dumps({"admitted": digest, "name": name, "version": version}, sort_keys=True).encode()
