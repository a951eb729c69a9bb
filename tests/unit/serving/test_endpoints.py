"""Endpoints: a production agent answers from a fence, is guarded, and comes back when it dies."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from ringfence.errors import DeniedError, InvalidError, MissingError, TamperedError, UnavailableError, WorkloadError
from ringfence.sandbox.sandbox import FenceSpec, Sandbox, Workload
from ringfence.serving.domain import Guard
from ringfence.serving.served import ServedAgent
from ringfence.storage.blobs import Zone
from tests.data_platform import SCIENTIST, actor
from tests.run_platform import CALLER, MLOPS, RunPlatform, promote, tabular

SPACE = {"type": "Discrete", "n": 5, "start": 0}
STEPS = {"type": "Discrete", "n": 2, "start": 0}
AGENT = tabular([[0.0, 1.0]] * 5)


class Recording:
    """A sandbox that keeps what it started."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.workloads: list[Workload] = []

    def guarantees(self) -> Any:
        return self._sandbox.guarantees()

    def start(self, spec: FenceSpec) -> Workload:
        self.workloads.append(self._sandbox.start(spec))
        return self.workloads[-1]


def test_a_deployed_agent_answers(platform: RunPlatform) -> None:
    view = platform.serving.deploy(MLOPS, "walker", "walk@1")
    assert (view.name, view.model, view.deployed_by) == ("walker", "walk@1", "mia")
    assert view.observation_space == SPACE
    assert platform.serving.ask(CALLER, "walker", [1, 2, 3]) == [1, 1, 1]
    assert platform.serving.list(MLOPS) == [view]
    assert platform.serving.show(MLOPS, "walker") == view


def test_each_call_is_recorded_without_what_was_asked(platform: RunPlatform) -> None:
    platform.serving.deploy(MLOPS, "walker", "walk@1")
    for _ in range(2):
        platform.serving.ask(CALLER, "walker", [3])
    with pytest.raises(DeniedError):
        platform.serving.ask(SCIENTIST, "walker", [3])
    records = [record.record for record in platform.records("endpoint.ask")]
    assert sorted(record["outcome"] for record in records) == ["denied", "read", "read"]
    digests = {record["context"]["observations"] for record in records}
    assert len(digests) == 1
    assert "[3]" not in str(records)
    assert hashlib.sha256(b"[3]").hexdigest() not in digests


def test_an_observation_outside_the_space_never_reaches_the_fence(platform: RunPlatform) -> None:
    platform.serving.deploy(MLOPS, "walker", "walk@1")
    with pytest.raises(InvalidError) as caught:
        platform.serving.ask(CALLER, "walker", [1, 7])
    assert caught.value.field == "observations[1]"


def test_a_model_that_is_not_in_production_is_not_deployed(platform: RunPlatform) -> None:
    with pytest.raises(DeniedError):
        platform.serving.deploy(MLOPS, "walker", "walk@2")
    assert platform.serving.list(MLOPS) == []


def test_a_package_tampered_with_is_not_deployed(platform: RunPlatform) -> None:
    platform.blobs.put(Zone.MODELS, "model/run-1", b"something else")
    with pytest.raises(TamperedError):
        platform.serving.deploy(MLOPS, "walker", "walk@1")
    assert platform.serving.list(MLOPS) == []


def test_deploying_again_replaces_the_agent(platform: RunPlatform) -> None:
    platform.serving.deploy(MLOPS, "walker", "walk@1")
    assert platform.serving.ask(CALLER, "walker", [2]) == [1]
    promote(platform, "walk@2")
    platform.serving.deploy(MLOPS, "walker", "walk@2")
    assert platform.serving.ask(CALLER, "walker", [2]) == [0]
    assert [view.model for view in platform.serving.list(MLOPS)] == ["walk@2"]


def test_who_may_not_deploy_or_ask_is_refused(platform: RunPlatform) -> None:
    with pytest.raises(DeniedError):
        platform.serving.deploy(SCIENTIST, "walker", "walk@1")
    platform.serving.deploy(MLOPS, "walker", "walk@1")
    with pytest.raises(DeniedError):
        platform.serving.ask(MLOPS, "walker", [1])


def test_an_endpoint_that_is_not_there_is_missing(platform: RunPlatform) -> None:
    with pytest.raises(MissingError):
        platform.serving.ask(CALLER, "nowhere", [1])
    platform.serving.deploy(MLOPS, "walker", "walk@1")
    with pytest.raises(MissingError):
        platform.serving.ask(actor("eve", "endpoint_caller", "elsewhere"), "walker", [1])


def test_another_process_serves_what_was_deployed_before(platform: RunPlatform) -> None:
    platform.serving.deploy(MLOPS, "walker", "walk@1")
    platform.serving.close()
    after = RunPlatform(platform.folder, platform.sandbox)  # the server after a restart: same database, no agents
    after.serving.start()
    assert after.serving.ask(CALLER, "walker", [1]) == [1]
    after.serving.close()
    after.database.close()


def test_one_connection_serves_many_threads(platform: RunPlatform) -> None:
    platform.serving.deploy(MLOPS, "walker", "walk@1")
    answers: list[list[Any]] = []

    def ask(rows: int) -> None:
        for _ in range(5):
            answers.append(platform.serving.ask(CALLER, "walker", [1] * rows))

    threads = [threading.Thread(target=ask, args=(rows,)) for rows in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, answers)) == sorted([1, 2, 3, 4] * 5)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def served(sandbox: Sandbox, files: Mapping[str, bytes] = AGENT) -> tuple[ServedAgent, Clock]:
    clock = Clock()
    return ServedAgent(sandbox, "walker", Guard(SPACE, STEPS), lambda: files, clock=clock), clock


def test_an_agent_that_died_while_idle_is_started_anew_at_the_next_request(platform: RunPlatform) -> None:
    recording = Recording(platform.sandbox)
    agent, clock = served(recording)
    assert agent.ask([1]) == [1]
    recording.workloads[-1].kill("the test ends it")
    clock.now += 10
    assert agent.ask([2]) == [1]
    assert len(recording.workloads) == 2
    agent.close()


def test_an_agent_that_keeps_dying_is_not_started_again_and_again(platform: RunPlatform) -> None:
    recording = Recording(platform.sandbox)
    agent, clock = served(recording)
    agent.start()
    pauses = []
    for _ in range(4):
        recording.workloads[-1].kill("the test ends it")
        with pytest.raises(UnavailableError) as caught:
            agent.ask([1])
        assert caught.value.code == "endpoint.restarting"
        waited = 0.0
        started = len(recording.workloads)
        while len(recording.workloads) == started:
            clock.now += 0.25
            waited += 0.25
            try:
                agent.start()
            except UnavailableError:
                continue
        pauses.append(waited)
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    agent.close()


def test_an_agent_that_can_not_be_started_is_unavailable(platform: RunPlatform) -> None:
    agent, _ = served(platform.sandbox, {"agent.json": b"{}", "agent.safetensors": b""})
    with pytest.raises(UnavailableError) as caught:
        agent.ask([1])
    assert caught.value.code == "endpoint.down"


class Hijacked:
    """A fence whose agent answers what the test says."""

    def __init__(self, sandbox: Sandbox, answer: dict[str, Any]) -> None:
        self._sandbox, self._answer = sandbox, answer

    def guarantees(self) -> Any:
        return self._sandbox.guarantees()

    def start(self, spec: FenceSpec) -> Workload:
        workload = self._sandbox.start(spec)
        real = workload.connection.receive
        answer = self._answer

        def receive(timeout: float | None = None) -> Any:
            message = real(timeout)
            if message.body.get("event") == "ready":
                return message
            return type(message)(answer)

        workload.connection.receive = receive  # type: ignore[method-assign]
        return workload


@pytest.mark.parametrize("answer", [{"actions": [2]}, {"actions": []}, {"actions": [1, 1]}, {"actions": "1"}, {},
                                    {"actions": [[1]]}, {"actions": [1.0]}, {"error": {"message": "no"}}])
def test_an_agent_that_answers_what_it_must_not_is_ended(platform: RunPlatform, answer: dict[str, Any]) -> None:
    recording = Recording(Hijacked(platform.sandbox, answer))
    agent, _ = served(recording)
    with pytest.raises(WorkloadError):
        agent.ask([1])
    assert recording.workloads[-1].wait(0).reason


def test_a_closed_endpoint_starts_nothing(platform: RunPlatform) -> None:
    agent, _ = served(platform.sandbox)
    agent.close()
    with pytest.raises(UnavailableError) as caught:
        agent.ask([1])
    assert caught.value.code == "endpoint.replaced"
