"""A dataset's whole way on the real parts: landed, parsed, classified, released and read, each step in a fence."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ringfence.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    MissingError,
    RingfenceError,
    TamperedError,
    TooLargeError,
    WorkloadError,
)
from ringfence.jobs.domain import JobContext, JobView
from ringfence.sandbox.sandbox import Sandbox
from ringfence.storage.blobs import Zone
from ringfence.trust.domain import Action, Actor, AuditEvent
from ringfence.trust.gate import OpenIntent
from ringfence_workload.wire import memory
from tests import fences
from tests.data_platform import OFFICER, SCIENTIST, STEWARD, WORKER, WRITER, DataPlatform, actor

DECLARATION = """
kind: Dataset
name: stays
purpose: care
residency: on-premises
subject: mrn
trajectory: {episode: visit, step: step}
anonymity: {k: 5, quasi_identifiers: [born, region], max_suppressed_share: 0.2}
columns:
  mrn: {action: pseudonymise, as: subject}
  visit: {action: pseudonymise, as: stay}
  date_of_birth: {action: generalise, to: decade, as: born}
  region: keep
  step: {action: keep, type: integer}
  state: {action: keep, type: integer}
  name: drop
"""
PEOPLE = 60
NAMES = [f"Zebulon Quartermain{chr(97 + place // 26)}{chr(97 + place % 26)}" for place in range(PEOPLE)]


def stays(people: int = PEOPLE) -> bytes:
    buffer = io.StringIO()
    buffer.write("name,mrn,date_of_birth,region,phone,visit,step,state\n")
    for place in range(people):
        for step in range(3):
            buffer.write(f"{NAMES[place]},M{7_310_000 + place},19{60 + place % 2 * 10}-0{1 + place % 9}-11,"
                         f"{'North' if place % 3 else 'South'},555-014-{1000 + place},V{place:04},{step},"
                         f"{place * step % 7}\n")
    return buffer.getvalue().encode()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with fences.sandbox(tmp_path_factory.mktemp("state")) as opened:
        yield opened


@pytest.fixture
def platform(tmp_path: Path, sandbox: Sandbox) -> DataPlatform:
    return DataPlatform(tmp_path, sandbox)


def objects(platform: DataPlatform) -> list[str]:
    return [f"{zone}/{name}" for zone in Zone for name in platform.blobs.list(zone)]


def outcomes(platform: DataPlatform, action: Action) -> list[str]:
    return [record.record["outcome"] for record in platform.records(action.value)]


def test_from_raw_records_to_the_least_a_learner_needs(platform: DataPlatform) -> None:
    released = platform.released(DECLARATION, stays()).result
    assert released
    view = platform.data.show(STEWARD, "stays")
    version = view.versions[0]
    assert (version.ref, version.measured.rows, version.measured.subjects) == ("stays@1", 3 * PEOPLE, PEOPLE)
    assert version.measured.k >= 5
    assert version.columns == ["subject", "stay", "born", "region", "step", "state"]
    assert version.measured.columns_removed == ("name", "phone")
    assert version.source == f"sha256:{hashlib.sha256(stays()).hexdigest()}"
    assert version.example is not None
    assert version.example["before"]["name"] in NAMES
    assert set(version.example["after"]) == set(version.columns)
    assert {finding.name: finding.type for finding in view.findings}["name"] == "PERSON_NAME"
    assert released == replace(version, example=None).as_json()
    granted = platform.data.open_columns(WORKER, "stays", ["state", "stay"], "care", SCIENTIST)
    assert memory.read_all(granted, 1 << 24).startswith(b"ARROW1")
    os.close(granted)


def test_nothing_of_the_raw_file_is_readable_anywhere(platform: DataPlatform, caplog: pytest.LogCaptureFixture) -> None:
    job = platform.released(DECLARATION, stays())
    os.close(platform.data.open_columns(WORKER, "stays@1", ["state"], "care", SCIENTIST))
    marks = [mark.encode() for place in (0, 31, 59) for mark in (
        NAMES[place], f"M{7_310_000 + place}", f"555-014-{1000 + place}", f"V{place:04}")]
    with sqlite3.connect(platform.folder / "ringfence.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    contents = {str(path): path.read_bytes() for path in platform.folder.rglob("*") if path.is_file()}
    contents["log"], contents["job"] = caplog.text.encode(), json.dumps(job.as_json()).encode()
    parquet = platform.blobs.open(Zone.PROCESSING, platform.blobs.list(Zone.PROCESSING)[0])
    contents["released"] = memory.read_all(parquet, 1 << 24)
    os.close(parquet)
    assert len(contents) > 6
    assert [(place, mark) for place, content in contents.items() for mark in marks if mark in content] == []


@pytest.mark.parametrize("someone", [STEWARD, SCIENTIST, OFFICER, WRITER])
def test_nobody_gets_the_raw_file(platform: DataPlatform, someone: Actor) -> None:
    platform.data.declare(STEWARD, DECLARATION)
    platform.land("stays", stays())
    with pytest.raises(DeniedError):
        platform.data.read_raw(someone, "stays")
    assert outcomes(platform, Action.DATASET_READ_RAW)[-1] == "denied"


def test_only_a_steward_sees_a_row_before_and_after(platform: DataPlatform) -> None:
    platform.released(DECLARATION, stays())
    seen = platform.data.show(SCIENTIST, "stays")
    assert seen.versions[0].example is None
    assert not [name for name in NAMES if name in json.dumps(seen.as_json())]


@pytest.mark.parametrize(("verb", "someone"), [
    ("declare", SCIENTIST), ("ingest", SCIENTIST), ("classify", SCIENTIST), ("release", SCIENTIST),
    ("classify", WRITER), ("release", WRITER), ("show", WRITER), ("list", WRITER), ("release", OFFICER),
    ("declare", WORKER)])
def test_each_verb_is_for_whom_policy_says(platform: DataPlatform, verb: str, someone: Actor) -> None:
    platform.data.declare(STEWARD, DECLARATION)
    arguments = {"declare": [DECLARATION.replace("care", "fun")], "ingest": ["stays", [b"a,b\n"]], "list": []}
    with pytest.raises(DeniedError):
        getattr(platform.data, verb)(someone, *arguments.get(verb, ["stays"]))
    assert objects(platform) == []


def test_a_dataset_of_another_project_is_not_there(platform: DataPlatform) -> None:
    platform.released(DECLARATION, stays())
    stranger = actor("eve", "data_steward", "other")
    with pytest.raises(MissingError) as other:
        platform.data.show(stranger, "stays")
    with pytest.raises(MissingError) as nowhere:
        platform.data.show(stranger, "stayz")
    assert other.value.message == nowhere.value.message.replace("stayz", "stays")
    assert platform.data.list(stranger) == []


@pytest.mark.parametrize(("content", "code"), [
    (b"name,mrn\nx\n", "data.malformed"), (b"", "data.empty"),
    (stays().replace(b"state", b"stat"), "data.unknown_column"),
    (stays().replace(b",0,0\n", b",0,zero\n", 1), "data.type_mismatch")])
def test_a_bad_file_leaves_nothing_behind_and_a_good_one_may_follow(platform: DataPlatform, content: bytes,
                                                                    code: str) -> None:
    platform.data.declare(STEWARD, DECLARATION)
    with pytest.raises(WorkloadError) as refused:
        platform.land("stays", content)
    assert refused.value.code == code
    assert refused.value.fix
    assert objects(platform) == []
    assert platform.data.show(STEWARD, "stays").state == "declared"
    platform.land("stays", stays())
    assert platform.data.show(STEWARD, "stays").state == "landed"


def interrupted() -> Iterator[bytes]:
    yield stays()
    raise InvalidError("upload.interrupted", "The upload was cut off.")


@pytest.mark.parametrize(("chunks", "sha256", "error"), [
    (interrupted(), None, InvalidError), ([stays()], "0" * 64, InvalidError),
    ([b"x" * 2000] * 1000, None, TooLargeError)])
def test_an_upload_that_fails_leaves_nothing_behind(platform: DataPlatform, chunks: Iterator[bytes], sha256: str | None,
                                                    error: type[RingfenceError]) -> None:
    platform.data._max_raw = 1_000_000
    platform.data.declare(STEWARD, DECLARATION)
    with pytest.raises(error):
        platform.data.ingest(WRITER, "stays", chunks, sha256)
    assert objects(platform) == []
    assert outcomes(platform, Action.DATASET_INGEST) == ["intended", "failed"]


def test_an_upload_for_no_dataset_is_refused(platform: DataPlatform) -> None:
    with pytest.raises(MissingError):
        platform.data.ingest(WRITER, "stays", [stays()])
    assert objects(platform) == []


def test_the_same_file_again_is_the_same_job_and_another_supersedes_it(platform: DataPlatform) -> None:
    platform.data.declare(STEWARD, DECLARATION)
    first = platform.land("stays", stays())
    again = platform.data.ingest(WRITER, "stays", [stays()], hashlib.sha256(stays()).hexdigest())
    assert again.id == first.id
    assert len(objects(platform)) == 1
    second = platform.land("stays", stays(50))
    assert second.id != first.id
    assert len(objects(platform)) == 1
    third = platform.land("stays", stays())
    assert third.id not in {first.id, second.id}
    landing = platform.data.show(STEWARD, "stays").landing
    assert landing is not None
    assert landing.rows == 3 * PEOPLE


def test_steps_out_of_order_say_what_comes_first(platform: DataPlatform) -> None:
    platform.data.declare(STEWARD, DECLARATION)
    for verb, word in ((platform.data.classify, "ingest"), (platform.data.release, "ingest")):
        with pytest.raises(ConflictError) as early:
            verb(STEWARD, "stays")
        assert word in early.value.fix
    platform.land("stays", stays())
    with pytest.raises(ConflictError) as early:
        platform.data.release(STEWARD, "stays")
    assert "classify" in early.value.fix


def test_a_file_that_lands_meanwhile_stops_an_older_job(platform: DataPlatform) -> None:
    platform.data.declare(STEWARD, DECLARATION)
    platform.land("stays", stays())
    old = platform.data.classify(STEWARD, "stays")
    platform.queue.claim("worker#1", 60.0)
    platform.land("stays", stays(50))
    context = JobContext(WORKER, STEWARD, lambda share, text: None, lambda: False)
    with pytest.raises(ConflictError, match="landed meanwhile"):
        platform.data.execute_classify(old, context)


REFUSALS = {
    "data.identifier_kept": ("name: drop", "name: keep"),
    "data.too_much_suppressed": ("k: 5", "k: 41"),
    "data.quasi_identifier_forgotten": ("quasi_identifiers: [born, region]", "quasi_identifiers: [born]"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refused_release_keeps_nothing_and_can_be_mended(platform: DataPlatform, code: str) -> None:
    bad = DECLARATION.replace(*REFUSALS[code])
    with pytest.raises(WorkloadError) as refused:
        platform.released(bad, stays())
    assert refused.value.code == code
    assert platform.blobs.list(Zone.PROCESSING) == ()
    view = platform.data.show(STEWARD, "stays")
    assert (view.state, view.versions) == ("refused", ())
    assert refused.value.message in view.refusal
    platform.data.declare(STEWARD, DECLARATION)
    platform.do(platform.data.release(STEWARD, "stays"))
    assert platform.data.show(STEWARD, "stays").state == "released"


def test_policy_decides_on_what_was_measured(platform: DataPlatform) -> None:
    with pytest.raises(DeniedError, match="at least 5"):
        platform.released(DECLARATION.replace("k: 5", "k: 2"), stays(12))
    assert platform.blobs.list(Zone.PROCESSING) == ()
    assert not [name for name in platform.blobs.list(Zone.LANDING) if name.startswith("example/")]
    assert outcomes(platform, Action.DATASET_RELEASE)[-1] == "denied"
    assert platform.data.show(STEWARD, "stays").state == "refused"


def test_a_released_version_is_released_once(platform: DataPlatform) -> None:
    done = platform.released(DECLARATION, stays())
    assert platform.data.release(STEWARD, "stays").id == done.id
    with pytest.raises(ConflictError):
        platform.data.declare(STEWARD, DECLARATION)
    platform.data.declare(STEWARD, DECLARATION.replace("decade", "year"))
    platform.do(platform.data.release(STEWARD, "stays"))
    refs = [version.ref for version in platform.data.show(STEWARD, "stays").versions]
    assert refs == ["stays@1", "stays@2"]
    assert platform.data.find_version(SCIENTIST, "stays").ref == "stays@2"
    first, second = (platform.data.find_version(SCIENTIST, ref) for ref in refs)
    assert (first.source, first.columns) == (second.source, second.columns)
    assert first.declaration_digest != second.declaration_digest


@pytest.mark.parametrize(("columns", "purpose", "submitter", "said"), [
    (["state"], "marketing", SCIENTIST, "purpose care"), (["state", "name"], "care", SCIENTIST, "name is not granted"),
    ([], "care", SCIENTIST, "names the columns"), (["state"], "care", STEWARD, "may run.submit")])
def test_columns_are_granted_by_purpose_and_name(platform: DataPlatform, columns: list[str], purpose: str,
                                                 submitter: Actor, said: str) -> None:
    platform.released(DECLARATION, stays())
    with pytest.raises(DeniedError, match=said):
        platform.data.open_columns(WORKER, "stays@1", columns, purpose, submitter)
    with pytest.raises(DeniedError):
        platform.data.open_columns(submitter, "stays@1", ["state"], "care", submitter)


def test_a_version_that_was_exchanged_is_refused(platform: DataPlatform) -> None:
    platform.released(DECLARATION, stays())
    name = platform.blobs.list(Zone.PROCESSING)[0]
    platform.blobs.put(Zone.PROCESSING, name, b"another")
    with pytest.raises(TamperedError):
        platform.data.open_columns(WORKER, "stays@1", ["state"], "care", SCIENTIST)


def rerun(platform: DataPlatform, job: JobView) -> dict[str, object]:
    handlers = {"dataset.ingest": platform.data.execute_ingest, "dataset.classify": platform.data.execute_classify,
                "dataset.release": platform.data.execute_release}
    context = JobContext(WORKER, platform.actors[job.submitted_by], lambda share, text: None, lambda: False)
    return handlers[job.kind](job, context)


def test_a_job_that_is_done_twice_is_done_once(platform: DataPlatform) -> None:
    """A worker that dies between its last step and the end of its job leaves the job to be done again."""
    platform.data.declare(STEWARD, DECLARATION)
    jobs = [platform.land("stays", stays()), platform.do(platform.data.classify(STEWARD, "stays")),
            platform.do(platform.data.release(STEWARD, "stays"))]
    before = objects(platform)
    assert [rerun(platform, job) for job in jobs] == [job.result for job in jobs]
    assert objects(platform) == before
    assert len(platform.data.show(STEWARD, "stays").versions) == 1


def test_what_dead_processes_left_is_removed(platform: DataPlatform) -> None:
    platform.released(DECLARATION, stays())
    kept = objects(platform)
    for zone, name in ((Zone.LANDING, "raw/raw-1"), (Zone.PROCESSING, "dataset/v1"), (Zone.LANDING, "example/v1")):
        platform.blobs.put(zone, name, b"left")
    resource = AuditEvent(WORKER, Action.DATASET_RELEASE, resource_of("stays"), "intended").resource
    left = OpenIntent("1", Action.DATASET_RELEASE, resource, {"blob": "dataset/v1", "example": "example/v1"})
    assert platform.data.settle_release(left) != "done"
    platform.data.settle_ingest(OpenIntent("2", Action.DATASET_INGEST, resource, {"blob": "raw/raw-1"}))
    assert objects(platform) == kept
    done = platform.blobs.list(Zone.PROCESSING)[0]
    assert platform.data.settle_release(OpenIntent("3", Action.DATASET_RELEASE, resource, {
        "blob": done, "example": f"example/{done.partition('/')[2]}"})) == "done"
    assert objects(platform) == kept


def resource_of(name: str) -> object:
    from ringfence.trust.domain import Resource
    return Resource("dataset", name)


def test_a_sweep_takes_orphans_and_nothing_else(platform: DataPlatform) -> None:
    platform.data.declare(STEWARD, DECLARATION)
    platform.land("stays", stays())
    waiting = platform.data.ingest(WRITER, "stays", [stays(50)])
    kept = objects(platform)
    platform.blobs.put(Zone.LANDING, "raw/raw-orphan", b"left")

    def while_uploading() -> Iterator[bytes]:
        yield stays(40)
        assert platform.data.sweep() == 1

    platform.data.ingest(WRITER, "stays", while_uploading())
    assert set(kept) < set(objects(platform))
    assert len(objects(platform)) == len(kept) + 1
    platform.do(waiting)


def test_every_access_to_the_raw_file_is_recorded_and_names_no_person(platform: DataPlatform) -> None:
    platform.released(DECLARATION, stays())
    assert outcomes(platform, Action.DATASET_READ_RAW) == ["read"] * 3
    assert [record.record["context"]["job"] for record in platform.records("dataset.read_raw")] == [
        "dataset.ingest", "dataset.classify", "dataset.release"]
    measured = platform.records("dataset.release")[-1].record
    assert (measured["outcome"], measured["purpose"], measured["context"]["k"] >= 5) == ("done", "care", True)
    written = json.dumps([dict(record.record) for record in platform.records()])
    assert "Quartermain" not in written
    assert "M731" not in written
