"""Watching jobs: who may, how often it is recorded, and how a long poll ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.errors import DeniedError, MissingError
from ringfence.jobs.domain import JobState, JobView
from ringfence.jobs.queue import JobQueue
from ringfence.jobs.service import JobService
from ringfence.paths import default_policies
from ringfence.storage.database import Base, Database
from ringfence.trust.audit.trail import AuditTrail
from ringfence.trust.gate import Gate
from ringfence.trust.keys.keys_file import FileKeys
from ringfence.trust.policy.engine_embedded import EmbeddedEngine
from tests.data_platform import OFFICER, SCIENTIST, actor


class Office:
    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder}/jobs.db")
        Base.metadata.create_all(self.database.engine)
        self.trail = AuditTrail(FileKeys(folder / "keys"))
        gate = Gate(self.database, EmbeddedEngine(default_policies(), lambda: ()), self.trail)
        self.queue = JobQueue(self.database)
        self.jobs = JobService(gate, self.database, self.queue)

    def submit(self) -> JobView:
        with self.database.transaction() as session:
            return self.queue.submit(session, "run.execute", {"secret": 1}, submitted_by=SCIENTIST.id,
                                     project="default", key="k")

    def recorded(self) -> list[str]:
        with self.database.reading() as session:
            return [str(record.record["outcome"]) for record in self.trail.search(session, action="job.show", after=0)]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    opened = Office(tmp_path)
    yield opened
    opened.database.close()


def test_polling_is_recorded_once_for_each_watcher(office: Office) -> None:
    job = office.submit()
    for _ in range(5):
        assert office.jobs.show(SCIENTIST, job.id).state == JobState.QUEUED
    assert office.recorded() == ["read"]
    office.jobs.show(OFFICER, job.id)
    assert office.recorded() == ["read", "read"]


def test_a_colleague_is_refused_every_time(office: Office) -> None:
    job = office.submit()
    office.jobs.show(SCIENTIST, job.id)
    for _ in range(2):
        with pytest.raises(DeniedError):
            office.jobs.show(actor("sid", "data_scientist"), job.id)
    assert sorted(office.recorded()) == ["denied", "denied", "read"]


def test_a_grant_is_not_good_for_the_same_account_with_other_roles(office: Office) -> None:
    job = office.submit()
    office.jobs.show(SCIENTIST, job.id)
    with pytest.raises(DeniedError):
        office.jobs.show(actor("sam", "endpoint_caller"), job.id)


def test_a_job_of_another_project_is_missing(office: Office) -> None:
    job = office.submit()
    with pytest.raises(MissingError):
        office.jobs.show(actor("vera", "viewer", "elsewhere"), job.id)


def test_the_payload_is_not_shown(office: Office) -> None:
    assert "payload" not in office.jobs.show(SCIENTIST, office.submit().id).as_json()


def test_a_long_poll_ends_when_something_changes(office: Office) -> None:
    job = office.submit()
    office.jobs.show(SCIENTIST, job.id)
    waiter = threading.Timer(0.3, lambda: office.queue.claim("w", 30))
    waiter.start()
    started = time.monotonic()
    seen = office.jobs.show(SCIENTIST, job.id, wait=20)
    waiter.join()
    assert seen.state == JobState.RUNNING
    assert time.monotonic() - started < 10


def test_a_long_poll_gives_up_after_its_time_and_a_finished_job_needs_none(office: Office) -> None:
    job = office.submit()
    started = time.monotonic()
    assert office.jobs.show(SCIENTIST, job.id, wait=0.3) == job
    assert time.monotonic() - started >= 0.3
    office.queue.claim("w", 30)
    office.queue.finish(job.id, "w", {"done": True})
    started = time.monotonic()
    assert office.jobs.show(SCIENTIST, job.id, wait=20).result == {"done": True}
    assert time.monotonic() - started < 5
