"""Runs on real parts: submitted, learned, judged and registered in real fences; refused with reasons."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from ringfence.errors import DeniedError, InvalidError, MissingError
from ringfence.jobs.domain import JobState
from ringfence.registry.package import unpack, verify_package
from ringfence.sandbox.sandbox import FenceSpec, Sandbox, Workload
from ringfence.storage.blobs import Zone
from ringfence.training.phases import Phases
from ringfence.training.store import MAX_METRICS, MetricSink
from tests.data_platform import SCIENTIST, STEWARD, actor
from tests.run_platform import CORRIDOR, MLOPS, OFFLINE, ONLINE, RunPlatform, corridor


def spec(base: str = OFFLINE, **changes: Any) -> str:
    return yaml.safe_dump({**yaml.safe_load(base), **changes})


def test_a_run_on_data_ends_as_a_signed_model_that_says_where_it_comes_from(platform: RunPlatform) -> None:
    view = platform.run(OFFLINE)
    assert (view.state, view.error) == ("done", None)
    assert view.result is not None
    agents = view.result["evaluation"]
    assert set(agents) == {"agent", "random", "clinicians"}
    assert agents["agent"]["ci_low"] > agents["clinicians"]["ci_high"]
    assert agents["agent"]["episodes"] >= 400
    assert view.result["behaviour_value"]["episodes"] == 300
    assert view.columns == ["walk", "state", "action", "next_state", "reward"]
    assert view.steps is not None
    assert view.steps_per_second is not None
    assert view.model == "walk-offline@1"
    assert view.fence is not None
    assert view.fence["egress_blocked"] is True
    assert all(uid != 0 for uid in view.fence["uids"])

    data = platform.registry.package(MLOPS, view.model)
    assert verify_package(data, platform.registry.public_key()).valid
    files = unpack(data)
    provenance = json.loads(files["provenance.json"])
    version = platform.data.find_version(SCIENTIST, "walks")
    simulator = platform.simulators.show(SCIENTIST, "corridor")
    assert provenance["dataset"] == {"version": "walks@1", "digest": version.digest, "columns": view.columns}
    assert provenance["simulators"]["evaluation"]["digest"] == simulator.digest
    assert provenance["submitted_by"] == {"account": "sam", "person": "sam"}
    assert (provenance["run"], provenance["seed"], provenance["spec_digest"]) == (view.id, 3, view.spec_digest)
    assert provenance["code"]["digest"].startswith("sha256:")
    assert set(provenance["environments"]) == {"base"}
    assert provenance["fence"]["egress"]["blocked"] is True
    assert {workload["name"].rpartition("-")[2] for workload in provenance["fence"]["workloads"]} >= {
        "canary", "learn", "judge", "evaluate"}
    assert json.loads(files["evaluation.json"])["evaluation"] == agents
    assert platform.blobs.list(Zone.MODELS) == (f"model/{view.id}",)
    outcomes = [(record.record["action"], record.record["outcome"]) for record in platform.records()]
    for action in ("run.submit", "run.execute", "run.evaluate", "model.register"):
        assert (action, "done") in outcomes


@pytest.mark.slow
def test_a_run_in_a_simulator_learns_and_reports(platform: RunPlatform) -> None:
    view = platform.run(ONLINE)
    assert (view.state, view.error) == ("done", None)
    assert view.result is not None
    agents = view.result["evaluation"]
    assert agents["agent"]["ci_low"] > agents["random"]["ci_high"]
    assert view.steps is not None
    assert view.steps >= 2000
    metrics = platform.training.metrics(SCIENTIST, view.id)
    assert [metric.number for metric in metrics] == list(range(len(metrics)))
    assert any("return_mean" in metric.values for metric in metrics)
    assert platform.training.metrics(SCIENTIST, view.id, after=metrics[-2].number) == metrics[-1:]


def test_the_same_submission_is_the_same_run(platform: RunPlatform) -> None:
    first = platform.training.submit(SCIENTIST, OFFLINE)
    assert platform.training.submit(SCIENTIST, "# with a comment\n" + OFFLINE).id == first.id
    assert platform.training.submit(SCIENTIST, spec(seed=4)).id != first.id
    assert len(platform.training.list(SCIENTIST)) == 2


def test_many_who_submit_at_once_get_one_run(platform: RunPlatform) -> None:
    found: list[str] = []
    start = threading.Barrier(4)

    def submit() -> None:
        start.wait()
        found.append(platform.training.submit(SCIENTIST, OFFLINE).id)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(platform.training.list(SCIENTIST)) == 1


DATA = yaml.safe_load(OFFLINE)["data"]
EVALUATION = yaml.safe_load(OFFLINE)["evaluation"]


@pytest.mark.parametrize(("changes", "field", "fix"), [
    ({"data": {**DATA, "columns": {**DATA["columns"], "state": "stat"}}}, "data.columns.state", "Did you mean state?"),
    ({"data": {**DATA, "purpose": "walkng"}}, "data.purpose", "Did you mean walking?"),
    ({"evaluation": {**EVALUATION, "agents": ["clinicans"]}}, "evaluation.agents", "Did you mean clinicians?"),
])
def test_what_does_not_fit_its_inputs_is_refused_at_once(platform: RunPlatform, changes: Mapping[str, Any], field: str,
                                                         fix: str) -> None:
    with pytest.raises(InvalidError) as caught:
        platform.training.submit(SCIENTIST, spec(**changes))
    assert (caught.value.field, caught.value.fix) == (field, fix)
    assert platform.training.list(SCIENTIST) == []


@pytest.mark.parametrize("changes", [{"data": {**DATA, "dataset": "walks@9"}}, {"data": {**DATA, "dataset": "runs"}},
                                     {"evaluation": {**EVALUATION, "simulator": "corridor@7"}}])
def test_inputs_that_are_not_there_are_missing(platform: RunPlatform, changes: Mapping[str, Any]) -> None:
    with pytest.raises(MissingError):
        platform.training.submit(SCIENTIST, spec(**changes))


@pytest.mark.parametrize("who", [STEWARD, MLOPS])
def test_who_may_not_train_submits_nothing(platform: RunPlatform, who: Any) -> None:
    with pytest.raises(DeniedError):
        platform.training.submit(who, OFFLINE)
    assert platform.training.list(SCIENTIST) == []


def test_another_projects_runs_are_missing(platform: RunPlatform) -> None:
    run = platform.training.submit(SCIENTIST, OFFLINE)
    stranger = actor("eve", "data_scientist", "elsewhere")
    assert platform.training.list(stranger) == []
    for verb in (platform.training.show, platform.training.metrics):
        with pytest.raises(MissingError):
            verb(stranger, run.id)


def test_a_learner_that_refuses_its_hyperparameters_fails_the_run_with_its_reason(platform: RunPlatform) -> None:
    learner = {"library": "ringfence", "algorithm": "pessimistic-value-iteration", "hyperparameters": {"penalti": 1}}
    view = platform.run(spec(learner=learner))
    assert view.state == "failed"
    assert view.error is not None
    assert (view.error["code"], view.error["fix"]) == ("hyperparameter.unknown", "Did you mean penalty?")
    assert view.model is None
    assert platform.blobs.list(Zone.MODELS) == ()
    again = platform.training.submit(SCIENTIST, spec(learner=learner))
    assert again.id != view.id


def test_a_submitter_who_lost_the_right_gets_nothing_done(platform: RunPlatform) -> None:
    run = platform.training.submit(SCIENTIST, OFFLINE)
    platform.actors[SCIENTIST.id] = actor("sam", "viewer")
    platform.work()
    view = platform.training.show(SCIENTIST, run.id)
    assert view.state == "failed"
    assert view.error is not None
    assert view.error["code"] == "policy.denied"


@pytest.mark.slow
def test_a_simulator_that_dies_on_the_way_fails_the_run_and_is_named(platform: RunPlatform) -> None:
    # It bears the seeds of its admission, and not those of a run.
    dying = CORRIDOR.replace("ahead = ", "self.count = getattr(self, 'count', 0) + 1\n"
                             "        if self.count > 300 and self.seed > 2: __import__('os')._exit(9)\n"
                             "        ahead = ")
    dying = dying.replace("super().reset(seed=seed)", "super().reset(seed=seed)\n"
                          "        self.seed = getattr(self, 'seed', 0) if seed is None else seed")
    platform.admit(corridor("2.0.0", dying))
    view = platform.run(ONLINE)
    assert view.state == "failed"
    assert view.error is not None
    assert view.error["code"] == "simulator.gone"
    assert "status 9" in view.error["title"]


class Leaky:
    """A fence whose prober gets out: the canary runs on the host."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.started: list[str] = []

    def guarantees(self) -> Any:
        return self._sandbox.guarantees()

    def start(self, spec: FenceSpec) -> Workload:
        self.started.append(spec.name)
        return self._sandbox.start(spec)


def test_nothing_runs_in_a_fence_that_leaks(platform: RunPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.sandbox.canary import CanaryAttempt, CanaryResult
    from ringfence.training import phases

    leaky = Leaky(platform.sandbox)
    platform.database.close()
    platform = RunPlatform(platform.folder, leaky)
    monkeypatch.setattr(phases, "egress_canary", lambda sandbox, environment: CanaryResult(
        False, (CanaryAttempt("tcp", True, True, "connected"),)))
    view = platform.run(OFFLINE)
    assert view.error is not None
    assert view.error["code"] == "fence.leaks"
    assert not [name for name in leaky.started if name.endswith("learn")]
    platform.database.close()


def test_a_run_whose_job_was_given_up_shows_as_failed(platform: RunPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    run = platform.training.submit(SCIENTIST, OFFLINE)
    for _ in range(5):
        platform.queue.claim("worker#x", 30)
        platform.queue.recover("worker#")
    view = platform.training.show(SCIENTIST, run.id)
    assert view.state == "failed"
    assert view.error is not None
    assert view.error["code"] == "job.abandoned"


def test_a_stopped_worker_leaves_the_run_to_the_next(platform: RunPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    run = platform.training.submit(SCIENTIST, OFFLINE)
    worker = platform.worker()
    real = Phases.evaluate

    def stopping(self: Phases, *arguments: Any) -> Any:
        worker.stop()
        return real(self, *arguments)

    monkeypatch.setattr(Phases, "evaluate", stopping)
    worker.run_one()
    view = platform.training.show(SCIENTIST, run.id)
    with platform.database.reading() as session:
        assert platform.queue.get(session, view.job).state == JobState.QUEUED
    assert (view.state, view.error) == ("evaluating", None)
    monkeypatch.setattr(Phases, "evaluate", real)
    platform.work()
    assert platform.training.show(SCIENTIST, run.id).state == "done"


def test_metrics_are_bounded_and_numbers_only(platform: RunPlatform) -> None:
    run = platform.training.submit(SCIENTIST, OFFLINE)
    sink = MetricSink(platform.database, run.id)
    for step in range(MAX_METRICS + 50):
        sink.add({"step": step, "values": {"loss": 1.0, "bad": float("inf")}})
    sink.add({"step": -1, "values": {"loss": 1.0}})
    sink.flush()
    last = platform.training.metrics(SCIENTIST, run.id, after=MAX_METRICS - 2)
    assert [(metric.number, metric.values) for metric in last] == [(MAX_METRICS - 1, {"loss": 1.0})]
    MetricSink(platform.database, run.id)
    assert platform.training.metrics(SCIENTIST, run.id) == []
