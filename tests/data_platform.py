"""The data domain on real parts: SQLite, encrypted objects, shipped rules, the trail, the queue, the given fence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.data.service import DataService
from ringfence.jobs.domain import JobContext, JobState, JobView
from ringfence.jobs.queue import JobQueue
from ringfence.paths import default_policies
from ringfence.sandbox.sandbox import Sandbox
from ringfence.storage.blobs_file import FileBlobs
from ringfence.storage.database import Base, Database
from ringfence.trust.audit.trail import AuditRecord, AuditTrail
from ringfence.trust.domain import Actor
from ringfence.trust.gate import Gate
from ringfence.trust.keys.keys_file import FileKeys
from ringfence.trust.policy.engine_embedded import EmbeddedEngine
from ringfence.trust.policy.module import ProjectPolicy


def actor(name: str, role: str, project: str = "default") -> Actor:
    return Actor(f"account-{name}", name, "person" if role != "worker" else "service", frozenset({role}), project)


STEWARD, SCIENTIST = actor("dana", "data_steward"), actor("sam", "data_scientist")
WRITER, WORKER = actor("lander", "ingest_writer"), actor("worker", "worker")
OFFICER = actor("olga", "security_officer")


@dataclass
class DataPlatform:
    """`do` runs what is queued, as the worker would; what a job raises is raised."""

    folder: Path
    sandbox: Sandbox
    policies: tuple[ProjectPolicy, ...] = ()
    actors: dict[str, Actor] = field(default_factory=lambda: {
        one.id: one for one in (STEWARD, SCIENTIST, WRITER, WORKER, OFFICER)})

    def __post_init__(self) -> None:
        self.database = Database(f"sqlite:///{self.folder}/ringfence.db")
        Base.metadata.create_all(self.database.engine)
        self.keys = FileKeys(self.folder / "keys")
        self.blobs = FileBlobs(self.folder / "objects", self.keys)
        self.trail = AuditTrail(self.keys)
        self.gate = Gate(self.database, EmbeddedEngine(default_policies(), lambda: self.policies), self.trail)
        self.queue = JobQueue(self.database)
        self.data = DataService(self.gate, self.database, self.blobs, self.queue, sandbox=self.sandbox, keys=self.keys)

    def do(self, job: JobView) -> JobView:
        claimed = self.queue.claim("worker#1", 60.0)
        assert claimed is not None
        assert claimed.id == job.id
        handler = {"dataset.ingest": self.data.execute_ingest, "dataset.classify": self.data.execute_classify,
                   "dataset.release": self.data.execute_release}[job.kind]
        context = JobContext(WORKER, self.actors[job.submitted_by], lambda share, text: None, lambda: False)
        try:
            result = handler(claimed, context)
        except Exception as error:
            self.queue.fail(job.id, "worker#1", {"title": str(error)})
            raise
        self.queue.finish(job.id, "worker#1", result)
        with self.database.reading() as session:
            done = self.queue.get(session, job.id)
        assert done.state == JobState.DONE
        return done

    def land(self, name: str, content: bytes | Iterable[bytes]) -> JobView:
        chunks = [content] if isinstance(content, bytes) else content
        return self.do(self.data.ingest(WRITER, name, chunks))

    def released(self, declaration: str, content: bytes) -> JobView:
        name = self.data.declare(STEWARD, declaration).name
        self.land(name, content)
        self.do(self.data.classify(STEWARD, name))
        return self.do(self.data.release(STEWARD, name))

    def records(self, action: str | None = None) -> list[AuditRecord]:
        with self.database.reading() as session:
            return self.trail.search(session, action=action, after=0, limit=1000)
