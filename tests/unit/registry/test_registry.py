"""The registry's verbs on real parts: versions, promotion by two people, races, what policy sees."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from ringfence.errors import ConflictError, DeniedError, InvalidError, MissingError, RingfenceError, TamperedError
from ringfence.registry.domain import ModelView, PromotionView
from ringfence.registry.package import unpack, verify_package
from ringfence.storage.blobs import Zone
from tests.data_platform import OFFICER, SCIENTIST, WORKER, actor
from tests.run_platform import MLOPS, RunPlatform, tabular

DIGEST = "sha256:" + "ab" * 32
SECOND_OFFICER, SECOND_MLOPS = actor("otto", "security_officer"), actor("max", "mlops_engineer")


def scores(low: float = 0.8, reference: float = 0.5) -> dict[str, Any]:
    return {"agent": {"mean": low + 0.1, "ci_low": low, "ci_high": low + 0.2, "episodes": 100},
            "clinicians": {"mean": reference, "ci_low": reference, "ci_high": reference, "episodes": 100}}


def register(platform: RunPlatform, run: str = "run-1", trained_by: str = "sam", low: float = 0.8,
             **changes: bytes) -> ModelView:
    provenance = {"run": run, "seed": 1, "spec_digest": DIGEST, "code": {"revision": "v", "digest": DIGEST},
                  "dataset": None, "simulators": {}}
    content = {**tabular([[0.0, 1.0]] * 5), "evaluation.json": json.dumps({"evaluation": scores(low)}).encode(),
               "provenance.json": json.dumps(provenance).encode(), **changes}
    return platform.registry.register(WORKER, name="walk", run=run, content=content, trained_by=trained_by,
                                      context={"on_behalf_of": SCIENTIST.as_input()})


def requested(platform: RunPlatform, ref: str = "walk@1") -> PromotionView:
    return platform.registry.request_promotion(MLOPS, ref, "production", "better")


def test_versions_count_up_and_a_run_is_registered_once(platform: RunPlatform) -> None:
    first = register(platform)
    assert register(platform) == first
    second = register(platform, "run-2")
    assert [view.ref for view in platform.registry.list(MLOPS)] == ["walk@1", "walk@2"]
    assert platform.registry.show(MLOPS, "walk") == second
    assert platform.registry.show(MLOPS, "walk@1") == first
    assert first.stage == "registered"


def test_a_package_is_what_was_signed(platform: RunPlatform) -> None:
    view = register(platform)
    data = platform.registry.package(MLOPS, "walk@1")
    report = verify_package(data, platform.registry.public_key())
    assert (report.valid, report.digest) == (True, view.digest)
    assert json.loads(unpack(data)["manifest.json"])["name"] == "walk"
    assert platform.registry.verify(MLOPS, "walk@1") == report


def test_nothing_is_kept_of_an_agent_that_is_refused(platform: RunPlatform) -> None:
    with pytest.raises(InvalidError):
        register(platform, **{"agent.safetensors": b"\x80\x04pickle"})
    assert platform.registry.list(MLOPS) == []
    assert platform.blobs.list(Zone.MODELS) == ()


def test_only_the_worker_registers_and_only_for_who_may_train(platform: RunPlatform) -> None:
    for who, behalf in ((SCIENTIST, SCIENTIST), (MLOPS, SCIENTIST), (WORKER, MLOPS)):
        with pytest.raises(DeniedError):
            platform.registry.register(who, name="walk", run="r", trained_by="sam", content={
                **tabular([[1.0]]), "evaluation.json": b"{}", "provenance.json": b"{}"},
                context={"on_behalf_of": behalf.as_input()})


@pytest.mark.parametrize("ref", ["walk", "walk@7", "other@1"])
def test_what_is_not_there_is_missing(platform: RunPlatform, ref: str) -> None:
    if ref != "walk":
        register(platform)
    with pytest.raises(MissingError):
        platform.registry.show(MLOPS, ref)


def test_another_projects_models_are_missing(platform: RunPlatform) -> None:
    register(platform)
    with pytest.raises(MissingError):
        platform.registry.show(actor("eve", "mlops_engineer", "elsewhere"), "walk@1")


def test_two_people_promote(platform: RunPlatform) -> None:
    register(platform)
    asked = requested(platform)
    assert (asked.state, asked.requested_by) == ("requested", "mia")
    approved = platform.registry.approve(OFFICER, asked.id, "interval checked")
    assert (approved.state, approved.approved_by) == ("approved", "olga")
    assert platform.registry.show(MLOPS, "walk@1").stage == "production"


def test_asking_twice_is_one_request_and_a_colleague_is_told_of_it(platform: RunPlatform) -> None:
    register(platform)
    asked = requested(platform)
    assert requested(platform) == asked
    with pytest.raises(ConflictError) as caught:
        platform.registry.request_promotion(SECOND_MLOPS, "walk@1", "production", "me too")
    assert caught.value.code == "promotion.open"


def test_a_request_is_approved_once_however_many_approve_at_once(platform: RunPlatform) -> None:
    register(platform)
    asked = requested(platform)
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def approve(number: int) -> None:
        start.wait()
        try:
            platform.registry.approve((OFFICER, SECOND_OFFICER)[number % 2], asked.id, "yes")
            outcomes.append("approved")
        except RingfenceError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=approve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["approved"] + ["promotion.closed"] * 3
    assert [str(record.record["outcome"]) for record in platform.records("model.promote")].count("done") == 1


def test_many_who_ask_at_once_make_one_request(platform: RunPlatform) -> None:
    register(platform)
    found: list[str] = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        found.append(requested(platform).id)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_who_trained_it_neither_asks_nor_approves(platform: RunPlatform) -> None:
    register(platform, trained_by="mia")
    with pytest.raises(DeniedError):
        requested(platform)
    register(platform, "run-2", trained_by="olga")
    asked = requested(platform, "walk@2")
    with pytest.raises(DeniedError):
        platform.registry.approve(OFFICER, asked.id, "mine")


def test_a_model_that_is_not_better_is_refused_with_the_figures(platform: RunPlatform) -> None:
    register(platform, low=0.4)
    with pytest.raises(DeniedError) as caught:
        requested(platform)
    assert "0.4" in caught.value.message
    assert "0.5" in caught.value.message


def test_a_package_tampered_with_in_the_store_is_not_promoted_or_handed_out(platform: RunPlatform) -> None:
    register(platform)
    asked = requested(platform)
    platform.blobs.put(Zone.MODELS, "model/run-1", b"another model")
    with pytest.raises(DeniedError) as caught:
        platform.registry.approve(OFFICER, asked.id, "yes")
    assert "signature" in caught.value.message
    with pytest.raises(TamperedError):
        platform.registry.package(MLOPS, "walk@1")


def test_only_a_production_version_is_served(platform: RunPlatform) -> None:
    register(platform)
    with pytest.raises(ConflictError) as caught:
        platform.registry.served_agent(WORKER, "walk@1")
    assert caught.value.code == "model.not_in_production"
    platform.registry.approve(OFFICER, requested(platform).id, "yes")
    assert set(platform.registry.served_agent(WORKER, "walk@1")) >= {"agent.json", "agent.safetensors"}


@pytest.mark.parametrize("reason", ["", "   ", "x" * 401])
def test_a_promotion_wants_a_reason(platform: RunPlatform, reason: str) -> None:
    register(platform)
    with pytest.raises(InvalidError) as caught:
        platform.registry.request_promotion(MLOPS, "walk@1", "production", reason)
    assert caught.value.field == "reason"


def test_a_request_that_is_not_there_is_missing(platform: RunPlatform) -> None:
    with pytest.raises(MissingError):
        platform.registry.approve(OFFICER, "promotion-none", "yes")
