"""The composition root: the only file that picks adapters and reads settings into them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ringfence.backup.recovery import Contents, Recovery
from ringfence.backup.service import BackupService
from ringfence.data.service import DataService
from ringfence.errors import MissingError
from ringfence.jobs.domain import Handler
from ringfence.jobs.queue import JobQueue
from ringfence.jobs.service import JobService
from ringfence.registry.service import RegistryService
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.serving.service import EndpointService
from ringfence.settings import Settings
from ringfence.simulators.service import SimulatorService
from ringfence.status import StatusService
from ringfence.storage.blobs_file import FileBlobs
from ringfence.storage.database import Database
from ringfence.storage.migrate import upgrade
from ringfence.supervisor.home import Home
from ringfence.training.service import TrainingService
from ringfence.training.store import runs_using
from ringfence.trust.audit.chain import ChainReport
from ringfence.trust.audit.service import AuditService, verify_stored
from ringfence.trust.audit.sink_file import FileSink
from ringfence.trust.audit.trail import AuditTrail
from ringfence.trust.audit.upkeep import AuditUpkeep, CheckpointTimer, Deliverer
from ringfence.trust.domain import Action
from ringfence.trust.gate import Gate, Settler
from ringfence.trust.identity.certificates import Authority
from ringfence.trust.identity.service import IdentityService
from ringfence.trust.keys.keys_file import FileKeys
from ringfence.trust.policy.engine_embedded import EmbeddedEngine
from ringfence.trust.policy.service import PolicyService, StoredPolicies
from ringfence.worker.lock import held

log = logging.getLogger(__name__)

PUBLIC_KEYS = ("audit", "models", "simulators")


@dataclass(frozen=True)
class Platform:
    """Every service, wired. One for each process."""

    settings: Settings
    database: Database
    keys: FileKeys
    blobs: FileBlobs
    sandbox: BubblewrapSandbox
    gate: Gate
    authority: Authority
    identity: IdentityService
    audit: AuditService
    audit_upkeep: AuditUpkeep
    policies: PolicyService
    queue: JobQueue
    jobs: JobService
    data: DataService
    simulators: SimulatorService
    training: TrainingService
    registry: RegistryService
    serving: EndpointService
    status: StatusService
    backup: BackupService

    def prepare(self) -> None:
        """Bring the home up to date before anything else starts: tables, certificates, the bootstrap token."""
        upgrade(self.database)
        self.authority.ensure()
        self.identity.ensure_worker()
        self.identity.ensure_bootstrap_token()
        self.recover()

    def recover(self) -> None:
        """Clear away what dead processes left: half-written objects, and acts whose outcome is not known."""
        self.blobs.sweep()
        self.backup.sweep()
        settled = self.gate.reconcile(self.identity.service_actor("worker"), self._settlers())
        if settled:
            log.warning("%d acts that a dead process left were settled", settled)
        self.data.sweep()

    def handlers(self) -> Mapping[str, Handler]:
        """Return what the worker can do: one service call for each kind of job."""
        return {
            "dataset.ingest": self.data.execute_ingest,
            "dataset.classify": self.data.execute_classify,
            "dataset.release": self.data.execute_release,
            "simulator.admit": self.simulators.execute_admit,
            "run.execute": self.training.execute,
        }

    def public_key(self, purpose: str) -> bytes:
        """Return the PEM that verifies signatures of one purpose.

        Raises:
            MissingError: nothing is signed for that purpose.
        """
        if purpose not in PUBLIC_KEYS:
            raise MissingError("key.purpose", f"Nothing is signed for {purpose[:40]!r}.", field="purpose",
                               fix=f"Ask for {', '.join(PUBLIC_KEYS)}.", value=purpose[:40])
        return self.keys.public_key(purpose)

    def close(self) -> None:
        """End the served agents and every other workload of this process, vouch for the last records, then let go of
        the database."""
        self.serving.close()
        self.sandbox.close()
        self.audit_upkeep.stop()
        self.database.close()

    def _settlers(self) -> Mapping[Action, Settler]:
        return {Action.SIMULATOR_BUILD: self.simulators.settle_build,
                Action.SIMULATOR_REMOVE: self.simulators.settle_remove, Action.DATASET_INGEST: self.data.settle_ingest,
                Action.DATASET_RELEASE: self.data.settle_release,
                Action.RUN_EXECUTE: self.training.settle, Action.RUN_EVALUATE: self.training.settle}


def build(settings: Settings) -> Platform:
    """Wire the platform for one process. Nothing is started, and no table is made (see `Platform.prepare`).

    Raises:
        UnavailableError: a part is missing or can't be used: what, and how to get it.
    """
    home = Home(settings.home)
    home.prepare()
    keys = FileKeys(home.platform / "keys")
    database = Database(settings.resolved_database_url)
    blobs = FileBlobs(home.platform / "objects", keys)
    sandbox = BubblewrapSandbox(settings.environments, home.run)
    trail = AuditTrail(keys)
    upkeep = _audit_upkeep(settings, home, database, trail)
    gate = Gate(database, EmbeddedEngine(settings.policies, StoredPolicies(database)), trail)
    queue = JobQueue(database)
    identity = IdentityService(database, gate, keys, home.platform, project=settings.project)
    data = DataService(gate, database, blobs, queue, sandbox=sandbox, keys=keys,
                       max_raw=settings.limits.upload_bytes)
    simulators = SimulatorService(gate, database, blobs, queue, sandbox=sandbox, keys=keys, users=runs_using,
                                  max_bundle=settings.limits.bundle_bytes)
    registry = RegistryService(gate, blobs, keys)
    training = TrainingService(gate, database, blobs, queue, sandbox=sandbox, data=data, simulators=simulators,
                               registry=registry, environments=settings.environments)
    return Platform(
        settings=settings, database=database, keys=keys, blobs=blobs, sandbox=sandbox, gate=gate,
        authority=Authority(home.platform / "ca"), identity=identity, audit=AuditService(gate, trail),
        audit_upkeep=upkeep, policies=PolicyService(gate), queue=queue, jobs=JobService(gate, database, queue),
        data=data, simulators=simulators, training=training, registry=registry,
        serving=EndpointService(gate, database, sandbox, registry, keys=keys,
                                worker=lambda: identity.service_actor("worker")),
        status=StatusService(gate, sandbox, lambda: held(home.worker_lock_file), home.is_demo, upkeep.status),
        backup=BackupService(gate, database, blobs, home.path, home.run))


def recovery() -> Recovery:
    """Wire what verifies and restores backups; it needs no platform."""
    return Recovery(_contents)


def _contents(folder: Path) -> Contents:
    keys = FileKeys(folder / "keys")
    database, trail = Database(f"sqlite:///{folder / 'ringfence.db'}"), AuditTrail(keys)

    def verified() -> ChainReport:
        with database.reading() as session:
            return verify_stored(trail, session)

    return Contents(database, FileBlobs(folder / "objects", keys), verified)


def _audit_upkeep(settings: Settings, home: Home, database: Database, trail: AuditTrail) -> AuditUpkeep:
    folder = home.platform / "audit"
    sinks = [FileSink(folder, settings.audit.file_bytes)] if settings.audit.file else []
    return AuditUpkeep(CheckpointTimer(database, trail), [
        Deliverer(database, trail.public_key, sink, folder / f"{sink.name}.lock") for sink in sinks])
