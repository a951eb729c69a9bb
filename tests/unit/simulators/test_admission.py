"""Simulators: stored, inspected in a real fence, admitted or refused; handed out by digest only."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ringfence.errors import DeniedError, MissingError, TamperedError, TooLargeError
from ringfence.jobs.domain import JobState, JobView
from ringfence.simulators.service import SimulatorService
from ringfence.simulators.tables import SimulatorRow
from ringfence.storage.blobs import Zone
from ringfence.training.store import runs_using
from ringfence.trust.domain import Action, Resource
from ringfence.trust.gate import OpenIntent
from ringfence_workload.wire import memory
from tests.bundles import packed
from tests.data_platform import SCIENTIST, WORKER, actor
from tests.run_platform import CORRIDOR, MLOPS, RunPlatform, corridor


def submitted(platform: RunPlatform, bundle: bytes) -> JobView:
    job = platform.simulators.build(SCIENTIST, [bundle])
    platform.work()
    with platform.database.reading() as session:
        return platform.queue.get(session, job.id)


def bundles(platform: RunPlatform) -> list[str]:
    return [name for name in platform.blobs.list(Zone.SIMULATORS) if name.startswith("bundle/")]


def test_an_admitted_simulator_is_listed_with_what_was_found(platform: RunPlatform) -> None:
    job = submitted(platform, corridor())
    assert job.state == JobState.DONE, job.error
    (view,) = platform.simulators.list(SCIENTIST)
    assert job.result == view.as_json()
    assert (view.name, view.version, view.ref) == ("corridor", "1.0.0", "corridor@1.0.0")
    assert view.manifest.observation_space == {"type": "Discrete", "n": 5, "start": 0}
    assert view.manifest.baselines == ("clinicians",)
    assert view.manifest.step_microseconds > 0
    for ref in ("corridor", "corridor@1.0.0", view.digest):
        assert platform.simulators.show(MLOPS, ref) == view
    bundle = platform.simulators.open_bundle(WORKER, view.digest)
    try:
        assert memory.read_all(bundle, 1 << 20) == corridor()
    finally:
        os.close(bundle)


def test_the_same_bundle_is_one_job_and_one_object(platform: RunPlatform) -> None:
    first = platform.simulators.build(SCIENTIST, [corridor()])
    assert platform.simulators.build(SCIENTIST, [corridor()]).id == first.id
    assert len(bundles(platform)) == 1
    platform.work()
    again = platform.simulators.build(SCIENTIST, [corridor()])
    assert (again.id, again.state) == (first.id, JobState.DONE)
    assert len(bundles(platform)) == 1


def test_a_later_version_becomes_the_latest_and_a_taken_one_is_refused(platform: RunPlatform) -> None:
    platform.admit(corridor("1.0.0"))
    platform.admit(corridor("1.1.0"))
    assert platform.simulators.show(SCIENTIST, "corridor").version == "1.1.0"
    assert platform.simulators.show(SCIENTIST, "corridor@1.0.0").version == "1.0.0"
    job = submitted(platform, corridor("1.1.0", CORRIDOR + "# another"))
    assert job.error is not None
    assert (job.error["code"], job.error["field"]) == ("simulator.version_taken", "version")
    assert len(bundles(platform)) == 2
    assert len(platform.blobs.list(Zone.SIMULATORS)) == 4


BAD = {
    "no tar": (b"not a tar" * 100, "simulator.bundle_broken"),
    "no manifest": (packed({"corridor.py": CORRIDOR}), "simulator.manifest_wrong"),
    "a name that is none": (corridor().replace(b"name: corridor", b"name: ../../ab"), "simulator.manifest"),
    "code that dies": (corridor(code="import os\nos._exit(7)\n"), "workload.died"),
    "code that raises": (corridor(code="raise RuntimeError('no')\n"), "simulator.failed"),
    "no such function": (corridor(code="x = 1\n"), "simulator.entry_point_missing"),
}


@pytest.mark.parametrize(("bundle", "code"), BAD.values(), ids=BAD.keys())
def test_a_bad_bundle_is_refused_and_removed(platform: RunPlatform, bundle: bytes, code: str) -> None:
    job = submitted(platform, bundle)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == code
    assert platform.blobs.list(Zone.SIMULATORS) == ()
    assert platform.simulators.list(SCIENTIST) == []


def test_a_refused_bundle_may_be_tried_again(platform: RunPlatform) -> None:
    first = submitted(platform, corridor(code="x = 1\n"))
    second = submitted(platform, corridor(code="x = 1\n"))
    assert first.id != second.id


def test_an_upload_that_breaks_off_or_is_too_large_leaves_nothing(platform: RunPlatform) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 1000
        raise ConnectionError

    small = SimulatorService(platform.gate, platform.database, platform.blobs, platform.queue,
                             sandbox=platform.sandbox, keys=platform.keys, users=runs_using, max_bundle=1500)
    with pytest.raises(ConnectionError):
        small.build(SCIENTIST, broken())
    with pytest.raises(TooLargeError) as caught:
        small.build(SCIENTIST, [b"x" * 1000, b"x" * 1000])
    assert caught.value.code == "simulator.too_large"
    assert platform.blobs.list(Zone.SIMULATORS) == ()
    assert platform.queue.claim("w", 30) is None


def test_who_may_not_build_uploads_nothing(platform: RunPlatform) -> None:
    def untouched() -> Iterator[bytes]:
        raise AssertionError("read before policy had decided")
        yield b""

    with pytest.raises(DeniedError):
        platform.simulators.build(MLOPS, untouched())


def test_an_upload_whose_process_died_is_removed(platform: RunPlatform) -> None:
    platform.blobs.put(Zone.SIMULATORS, "bundle/left", b"half an act")
    intent = OpenIntent("i", Action.SIMULATOR_BUILD, Resource("simulator", "left"), {"blob": "bundle/left"})
    for _ in range(2):
        platform.simulators.settle_build(intent)
    assert platform.blobs.list(Zone.SIMULATORS) == ()


def test_a_bundle_that_was_not_admitted_is_not_handed_out(platform: RunPlatform) -> None:
    platform.simulators.build(SCIENTIST, [corridor()])
    with pytest.raises(MissingError):
        platform.simulators.open_bundle(WORKER, "sha256:" + "0" * 64)
    with pytest.raises(MissingError):
        platform.simulators.show(SCIENTIST, "corridor")


def test_a_catalogue_row_without_the_platforms_signature_is_refused(platform: RunPlatform) -> None:
    platform.admit()
    view = platform.simulators.show(SCIENTIST, "corridor")
    with platform.database.transaction() as session:
        row = session.query(SimulatorRow).one()
        row.version = "9.9.9"
    with pytest.raises(TamperedError) as caught:
        platform.simulators.open_bundle(WORKER, view.digest)
    assert caught.value.code == "simulator.signature"


def test_another_bundle_in_its_place_is_refused(platform: RunPlatform) -> None:
    platform.admit()
    view = platform.simulators.show(SCIENTIST, "corridor")
    (name,) = bundles(platform)
    platform.blobs.put(Zone.SIMULATORS, name, corridor(code="import evil"))
    with pytest.raises(TamperedError):
        platform.simulators.open_bundle(WORKER, view.digest)


def test_another_projects_simulators_are_missing(platform: RunPlatform) -> None:
    platform.admit()
    stranger = actor("eve", "data_scientist", "elsewhere")
    assert platform.simulators.list(stranger) == []
    with pytest.raises(MissingError):
        platform.simulators.show(stranger, "corridor")
