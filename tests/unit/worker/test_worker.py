"""The worker: outcomes recorded, leases kept alive, work handed back, one worker for each home."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.errors import ConflictError, DeniedError, InvalidError
from ringfence.jobs.domain import Handler, JobContext, JobState, JobView
from ringfence.jobs.queue import JobQueue
from ringfence.storage.database import Base, Database
from ringfence.trust.domain import Actor
from ringfence.trust.request import current_request
from ringfence.worker import lock
from ringfence.worker.worker import Worker
from tests.data_platform import SCIENTIST, WORKER


class Shop:
    """A queue, and the accounts as they stand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(f"sqlite:///{folder}/jobs.db")
        Base.metadata.create_all(self.database.engine)
        self.queue = JobQueue(self.database)
        self.disabled: set[str] = set()

    def service_actor(self, name: str) -> Actor:
        return {"worker": WORKER}[name]

    def actor_by_id(self, identifier: str) -> Actor:
        if identifier in self.disabled:
            raise DeniedError("account.disabled", "The account that asked for this is disabled.")
        return {SCIENTIST.id: SCIENTIST}[identifier]

    def submit(self, kind: str = "do") -> str:
        with self.database.transaction() as session:
            return self.queue.submit(session, kind, {"n": 1}, submitted_by=SCIENTIST.id, project="default",
                                     key=kind).id

    def get(self, identifier: str) -> JobView:
        with self.database.reading() as session:
            return self.queue.get(session, identifier)

    def worker(self, handler: Handler, lease: float = 30.0) -> Worker:
        return Worker(self.queue, {"do": handler}, self, self.folder / "worker.lock", lease_seconds=lease)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path)
    yield opened
    opened.database.close()


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    waiting = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it did not come true in time")


def test_the_handler_acts_as_the_worker_on_behalf_of_who_submitted(shop: Shop) -> None:
    job = shop.submit()

    def handler(view: JobView, context: JobContext) -> dict[str, Any]:
        return {"payload": dict(view.payload), "actor": context.actor.name, "request": current_request().id,
                **context.policy_context(purpose="walking")}

    assert shop.worker(handler).run_one()
    done = shop.get(job)
    assert done.state == JobState.DONE
    assert done.result == {"payload": {"n": 1}, "actor": "worker", "request": job, "purpose": "walking",
                           "on_behalf_of": SCIENTIST.as_input()}


def test_an_idle_worker_finds_nothing(shop: Shop) -> None:
    assert not shop.worker(lambda job, context: {}).run_one()


@pytest.mark.parametrize(("error", "code"), [
    (InvalidError("spec.invalid", "No.", fix="Do otherwise.", field="seed"), "spec.invalid"),
    (ZeroDivisionError("details that are nobody's business"), "job.crashed"),
])
def test_a_failure_is_recorded_with_its_way_out(shop: Shop, error: Exception, code: str) -> None:
    job = shop.submit()

    def handler(view: JobView, context: JobContext) -> dict[str, Any]:
        raise error

    shop.worker(handler).run_one()
    failed = shop.get(job)
    assert failed.state == JobState.FAILED
    assert failed.error is not None
    assert failed.error["code"] == code
    assert failed.error["fix"]
    assert "nobody's business" not in str(failed.error)


def test_a_job_of_a_disabled_account_is_not_begun(shop: Shop) -> None:
    job = shop.submit()
    shop.disabled.add(SCIENTIST.id)
    begun: list[str] = []

    def handler(view: JobView, context: JobContext) -> dict[str, Any]:
        begun.append(view.id)
        return {}

    shop.worker(handler).run_one()
    failed = shop.get(job)
    assert failed.error is not None
    assert failed.error["code"] == "account.disabled"
    assert not begun


def test_a_kind_that_it_does_not_know_fails(shop: Shop) -> None:
    job = shop.submit("unheard.of")
    shop.worker(lambda view, context: {}).run_one()
    failed = shop.get(job)
    assert failed.error is not None
    assert failed.error["code"] == "job.unknown_kind"


def test_a_job_longer_than_its_lease_stays_with_its_worker(shop: Shop) -> None:
    job = shop.submit()
    claims: list[JobView | None] = []

    def handler(view: JobView, context: JobContext) -> dict[str, Any]:
        context.progress(0.4, "half way")
        until(lambda: shop.get(job).text == "half way")
        first = threading.Event()
        first.wait(2.5)  # longer than the lease: only its heartbeats can keep the job
        claims.append(shop.queue.claim("thief", 30))
        return {"share": shop.get(job).share}

    shop.worker(handler, lease=2.0).run_one()
    assert claims == [None]
    assert shop.get(job).result == {"share": 0.4}


def test_a_worker_that_lost_its_lease_stops_and_writes_nothing(shop: Shop) -> None:
    job = shop.submit()

    def handler(view: JobView, context: JobContext) -> dict[str, Any]:
        shop.queue.recover("worker#")
        assert shop.queue.claim("other", 30) is not None
        until(context.should_stop)
        raise InvalidError("workload.stopped", "It was stopped.")

    shop.worker(handler).run_one()
    assert shop.get(job).state == JobState.RUNNING
    shop.queue.finish(job, "other", {"by": "other"})
    assert shop.get(job).result == {"by": "other"}


def test_stopping_hands_the_job_back(shop: Shop) -> None:
    job = shop.submit()
    begun = threading.Event()

    def handler(view: JobView, context: JobContext) -> dict[str, Any]:
        begun.set()
        until(context.should_stop)
        raise InvalidError("workload.stopped", "It was stopped.")

    worker = shop.worker(handler)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert begun.wait(20)
    assert lock.held(shop.folder / "worker.lock")
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert (shop.get(job).state, shop.get(job).attempts) == (JobState.QUEUED, 0)
    assert not lock.held(shop.folder / "worker.lock")


def test_a_second_worker_in_the_same_home_is_refused(shop: Shop) -> None:
    with lock.exclusive(shop.folder / "worker.lock"), pytest.raises(ConflictError) as caught:
        shop.worker(lambda view, context: {}).run()
    assert caught.value.code == "worker.running"
    assert not lock.held(shop.folder / "worker.lock")
    assert not lock.held(shop.folder / "never.lock")


def test_a_new_worker_takes_over_at_once_what_a_dead_one_held(shop: Shop) -> None:
    job = shop.submit()
    shop.queue.claim("worker#4711-dead", 3600)
    worker = shop.worker(lambda view, context: {"done": True})
    thread = threading.Thread(target=worker.run)
    thread.start()
    until(lambda: shop.get(job).state == JobState.DONE)
    worker.stop()
    thread.join(20)
