"""What every queue does: one job for each key, one worker for each job, nothing lost when a worker dies."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import integers, sampled_from

from ringfence.errors import MissingError
from ringfence.jobs.domain import FINAL, TRANSITIONS, JobState, JobView
from ringfence.jobs.queue import MAX_ATTEMPTS, JobQueue, LeaseLostError
from ringfence.storage.database import Base, Database

LEASE = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A queue with a clock that tests can move."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder}/jobs.db")
        Base.metadata.create_all(self.database.engine)
        self.clock = Clock()
        self.queue = JobQueue(self.database, self.clock)

    def submit(self, key: str = "k", kind: str = "do", **payload: object) -> JobView:
        with self.database.transaction() as session:
            return self.queue.submit(session, kind, payload, submitted_by="account-1", project="default", key=key)

    def get(self, identifier: str) -> JobView:
        with self.database.reading() as session:
            return self.queue.get(session, identifier)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.database.close()


def test_the_same_key_is_the_same_job_until_it_has_failed(desk: Desk) -> None:
    first = desk.submit(key="same", number=1)
    assert desk.submit(key="same", number=2) == first
    assert desk.queue.claim("w", LEASE) is not None
    assert desk.submit(key="same").id == first.id
    desk.queue.fail(first.id, "w", {"title": "no"})
    second = desk.submit(key="same", number=3)
    assert second.id != first.id
    assert second.payload == {"number": 3}


def test_a_done_job_keeps_its_key(desk: Desk) -> None:
    first = desk.submit(key="same")
    desk.queue.claim("w", LEASE)
    desk.queue.finish(first.id, "w", {"answer": 42})
    again = desk.submit(key="same")
    assert (again.id, again.state, again.result) == (first.id, JobState.DONE, {"answer": 42})


def test_a_submission_that_is_rolled_back_leaves_no_job(desk: Desk) -> None:
    def submit_and_fail() -> None:
        with desk.database.transaction() as session:
            desk.queue.submit(session, "do", {}, submitted_by="a", project="default", key="k")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        submit_and_fail()
    assert desk.queue.claim("w", LEASE) is None


def test_the_oldest_job_is_claimed_first(desk: Desk) -> None:
    names = []
    for number in range(3):
        names.append(desk.submit(key=str(number)).id)
        desk.clock.now += 1
    claimed = [desk.queue.claim(f"w{number}", LEASE) for number in range(4)]
    assert [job.id if job else None for job in claimed] == [*names, None]


def test_many_workers_never_get_the_same_job(desk: Desk) -> None:
    expected = {desk.submit(key=str(number)).id for number in range(20)}
    taken: list[str] = []

    def work(worker: str) -> None:
        while (job := desk.queue.claim(worker, LEASE)) is not None:
            taken.append(job.id)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(expected)


def test_a_lease_that_ran_out_passes_the_job_on_and_shuts_the_old_worker_out(desk: Desk) -> None:
    job = desk.submit()
    desk.queue.claim("slow", LEASE)
    assert not desk.queue.waiting()
    desk.clock.now += LEASE + 1
    assert desk.queue.waiting()
    taken = desk.queue.claim("quick", LEASE)
    assert taken is not None
    assert (taken.id, taken.attempts) == (job.id, 2)
    for late in (lambda: desk.queue.finish(job.id, "slow", {}), lambda: desk.queue.fail(job.id, "slow", {}),
                 lambda: desk.queue.release(job.id, "slow"),
                 lambda: desk.queue.heartbeat(job.id, "slow", LEASE, 0.5, "late")):
        with pytest.raises(LeaseLostError):
            late()
    desk.queue.finish(job.id, "quick", {"by": "quick"})
    assert desk.get(job.id).result == {"by": "quick"}


def test_a_heartbeat_keeps_the_job_and_stores_its_progress(desk: Desk) -> None:
    job = desk.submit()
    desk.queue.claim("w", LEASE)
    for share in (0.1, 0.5, 7.0):
        desk.clock.now += LEASE - 1
        desk.queue.heartbeat(job.id, "w", LEASE, share, "at work")
        assert desk.queue.claim("other", LEASE) is None
    seen = desk.get(job.id)
    assert (seen.share, seen.text, seen.state) == (1.0, "at work", JobState.RUNNING)


def test_a_worker_known_dead_loses_its_jobs_at_once_and_others_keep_theirs(desk: Desk) -> None:
    first, second = desk.submit(key="1"), desk.submit(key="2")
    desk.queue.claim("worker#dead", LEASE)
    desk.queue.claim("workers-other#alive", LEASE)
    assert desk.queue.recover("worker#") == 1
    assert desk.get(first.id).state == JobState.QUEUED
    assert desk.get(second.id).state == JobState.RUNNING


def test_a_job_that_kills_its_workers_is_given_up(desk: Desk) -> None:
    job = desk.submit()
    for attempt in range(MAX_ATTEMPTS):
        claimed = desk.queue.claim(f"w{attempt}", LEASE)
        assert claimed is not None
        desk.clock.now += LEASE + 1
    assert desk.queue.claim("last", LEASE) is None
    given_up = desk.get(job.id)
    assert given_up.state == JobState.FAILED
    assert given_up.error is not None
    assert given_up.error["code"] == "job.abandoned"


def test_a_released_job_does_not_count_as_an_attempt(desk: Desk) -> None:
    job = desk.submit()
    for _ in range(2 * MAX_ATTEMPTS):
        assert desk.queue.claim("w", LEASE) is not None
        desk.queue.release(job.id, "w")
    assert desk.get(job.id).state == JobState.QUEUED


def test_a_job_that_is_not_there_is_missing(desk: Desk) -> None:
    with pytest.raises(MissingError) as caught:
        desk.get("job-nowhere")
    assert caught.value.code == "job.missing"


def test_only_final_states_have_no_way_out() -> None:
    assert {JobState.DONE, JobState.FAILED} == FINAL
    assert set(TRANSITIONS) == set(JobState)


class QueueMachine(RuleBasedStateMachine):
    """Whatever workers and clocks do, states only move as the domain allows, and no outcome is overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(f"sqlite:///{self.folder.name}/jobs.db")
        Base.metadata.create_all(self.database.engine)
        self.clock = Clock()
        self.queue = JobQueue(self.database, self.clock)
        self.known: dict[str, tuple[JobState, object]] = {}
        self.held: dict[str, str] = {}

    @rule(key=integers(0, 3))
    def submit(self, key: int) -> None:
        with self.database.transaction() as session:
            job = self.queue.submit(session, "do", {}, submitted_by="a", project="p", key=str(key))
        self.known.setdefault(job.id, (JobState.QUEUED, None))

    @rule(worker=sampled_from(["a", "b"]))
    def claim(self, worker: str) -> None:
        job = self.queue.claim(worker, LEASE)
        if job is not None:
            self.held[job.id] = worker

    @rule(seconds=integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(worker=sampled_from(["a", "b"]), end=sampled_from(["finish", "fail", "release"]))
    def end(self, worker: str, end: str) -> None:
        for job, holder in list(self.held.items()):
            arguments = (job, worker) if end == "release" else (job, worker, {"title": worker})
            try:
                getattr(self.queue, end)(*arguments)
                assert holder == worker
                del self.held[job]
            except LeaseLostError:
                pass

    @invariant()
    def moves_are_legal(self) -> None:
        for identifier, (before, outcome) in self.known.items():
            with self.database.reading() as session:
                job = self.queue.get(session, identifier)
            reachable, frontier = {before}, {before}
            while frontier:
                frontier = {after for state in frontier for after in TRANSITIONS[state]} - reachable
                reachable |= frontier
            assert job.state in reachable
            if before in FINAL:
                assert (job.state, job.result or job.error) == (before, outcome)
            self.known[identifier] = (job.state, job.result or job.error)

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
