"""What admission adds: findings that policy decides on, a bill of materials, verification, removal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.errors import ConflictError, DeniedError, InvalidError, MissingError
from ringfence.jobs.domain import JobState, JobView
from ringfence.simulators.catalogue import REMOVING
from ringfence.simulators.tables import SimulatorRow
from ringfence.storage.blobs import Zone
from ringfence.training.store import runs_using
from ringfence.training.tables import RunRow
from ringfence.trust.audit.tables import AuditRow
from ringfence.trust.domain import Action, Resource
from ringfence.trust.gate import OpenIntent
from tests.data_platform import SCIENTIST
from tests.run_platform import CORRIDOR, MLOPS, ONLINE, RunPlatform, corridor


def built(platform: RunPlatform, bundle: bytes) -> JobView:
    job = platform.simulators.build(SCIENTIST, [bundle])
    platform.work()
    with platform.database.reading() as session:
        return platform.queue.get(session, job.id)


def last_record(platform: RunPlatform, action: str) -> Any:
    with platform.database.reading() as session:
        return session.query(AuditRow).filter(AuditRow.action == action).order_by(AuditRow.seq.desc()).first()


def test_a_high_finding_refuses_admission_and_is_named(platform: RunPlatform) -> None:
    job = built(platform, corridor(code=CORRIDOR + "\nimport socket\n"))
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "policy.denied"
    assert "call.network in corridor.py, line 19" in job.error["title"]
    assert platform.blobs.list(Zone.SIMULATORS) == ()
    record = last_record(platform, "simulator.admit")
    assert record.outcome == "denied"


def test_a_medium_finding_is_shown(platform: RunPlatform) -> None:
    platform.admit()
    (view,) = platform.simulators.list(SCIENTIST)
    assert view.scan is not None
    assert [(one.severity, one.rule, one.file) for one in view.scan.findings] == [
        ("medium", "licence.missing", "simulator.yaml")]
    assert view.as_json()["scan"]["counts"] == {"low": 0, "medium": 1, "high": 0, "critical": 0}
    assert view.as_json()["scan"]["advisories"] == "not checked"


def test_code_can_not_take_back_what_the_scan_found(platform: RunPlatform) -> None:
    """The scan runs before, and apart from, the code that it looks at."""
    job = built(platform, corridor(code=CORRIDOR + """
import subprocess, sys
for name in [n for n in sys.modules if n.startswith("ringfence_workload.scan")]:
    sys.modules[name].__dict__.clear()
"""))
    assert job.error is not None
    assert "call.process in corridor.py" in job.error["title"]


def test_the_bill_of_materials_names_every_file_and_package(platform: RunPlatform) -> None:
    platform.admit()
    view = platform.simulators.show(SCIENTIST, "corridor")
    bill = platform.simulators.sbom(SCIENTIST, "corridor@1.0.0")
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": view.digest[7:]}]
    files = {part["name"] for part in bill["components"] if part["type"] == "file"}
    assert files == {"simulator.yaml", "corridor.py", "baselines/clinicians/agent.json",
                     "baselines/clinicians/agent.safetensors"}
    packages = {part["name"]: part for part in bill["components"] if part["type"] == "library"}
    assert packages["numpy"]["purl"] == f"pkg:pypi/numpy@{packages['numpy']['version']}"
    assert {"gymnasium", "numpy"} <= set(packages)
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(references) == len(set(references))
    assert bill["dependencies"][0]["dependsOn"] == sorted(references)


def test_the_same_bundle_gives_the_same_bill(platform: RunPlatform) -> None:
    bills = []
    for _ in range(2):
        platform.admit()
        bills.append(json.dumps(platform.simulators.sbom(SCIENTIST, "corridor")))
        platform.simulators.remove(SCIENTIST, "corridor@1.0.0")
    assert bills[0] == bills[1]


def test_what_is_stored_is_verified(platform: RunPlatform) -> None:
    platform.admit()
    report = platform.simulators.verify(MLOPS, "corridor")
    assert (report.valid, report.problem, report.ref) == (True, "", "corridor@1.0.0")


@pytest.mark.parametrize("part", ["bundle", "sbom"])
def test_stored_bytes_that_were_exchanged_do_not_verify(platform: RunPlatform, part: str) -> None:
    platform.admit()
    (name,) = [name for name in platform.blobs.list(Zone.SIMULATORS) if name.startswith(part)]
    platform.blobs.put(Zone.SIMULATORS, name, b"another")
    report = platform.simulators.verify(SCIENTIST, "corridor")
    assert not report.valid and report.problem


def test_a_row_that_was_changed_does_not_verify(platform: RunPlatform) -> None:
    platform.admit()
    with platform.database.transaction() as session:
        session.query(SimulatorRow).one().version = "2.0.0"
    assert "not signed" in platform.simulators.verify(SCIENTIST, "corridor").problem


def test_a_removed_simulator_is_gone_and_its_version_is_not_given_out_again(platform: RunPlatform) -> None:
    platform.admit()
    view = platform.simulators.show(SCIENTIST, "corridor")
    removed = platform.simulators.remove(SCIENTIST, "corridor@1.0.0")
    assert (removed.digest, removed.state) == (view.digest, "removed")
    assert platform.blobs.list(Zone.SIMULATORS) == ()
    assert platform.simulators.list(SCIENTIST) == []
    record = last_record(platform, "simulator.remove")
    assert record.outcome == "done"
    for call in (platform.simulators.show, platform.simulators.remove):
        with pytest.raises(MissingError):
            call(SCIENTIST, view.digest)
    job = built(platform, corridor(code=CORRIDOR + "# another"))
    assert job.error is not None and job.error["code"] == "simulator.version_taken"


def test_the_same_bundle_can_come_back(platform: RunPlatform) -> None:
    platform.admit()
    platform.simulators.remove(SCIENTIST, "corridor@1.0.0")
    platform.admit()
    assert platform.simulators.verify(SCIENTIST, "corridor").valid
    assert len([name for name in platform.blobs.list(Zone.SIMULATORS) if name.startswith("bundle/")]) == 1


def test_one_that_a_waiting_run_uses_is_kept_until_the_run_has_ended(platform: RunPlatform) -> None:
    platform.admit()
    run = platform.training.submit(SCIENTIST, ONLINE)
    with pytest.raises(ConflictError) as caught:
        platform.simulators.remove(SCIENTIST, "corridor@1.0.0")
    assert caught.value.code == "simulator.in_use"
    assert run.id in caught.value.message
    assert platform.simulators.verify(SCIENTIST, "corridor").valid
    with platform.database.transaction() as session:
        session.get_one(RunRow, run.id).state = "failed"
    platform.simulators.remove(SCIENTIST, "corridor@1.0.0")


def test_only_the_runs_of_the_project_and_the_bundle_count(platform: RunPlatform) -> None:
    platform.admit()
    run = platform.training.submit(SCIENTIST, ONLINE)
    digest = platform.simulators.show(SCIENTIST, "corridor").digest
    with platform.database.reading() as session:
        assert runs_using(session, SCIENTIST.project, digest) == [run.id]
        assert runs_using(session, "elsewhere", digest) == []
        assert runs_using(session, SCIENTIST.project, "sha256:" + "0" * 64) == []


def test_a_bare_name_removes_nothing(platform: RunPlatform) -> None:
    platform.admit()
    with pytest.raises(InvalidError) as caught:
        platform.simulators.remove(SCIENTIST, "corridor")
    assert caught.value.code == "simulator.version_missing"
    with pytest.raises(DeniedError):
        platform.simulators.remove(MLOPS, "corridor@1.0.0")
    assert platform.simulators.verify(SCIENTIST, "corridor").valid


def test_a_removal_whose_process_died_is_finished(platform: RunPlatform) -> None:
    platform.admit()
    with platform.database.transaction() as session:
        session.query(SimulatorRow).one().state = REMOVING
    intent = OpenIntent("i", Action.SIMULATOR_REMOVE, Resource("simulator", "corridor@1.0.0", SCIENTIST.project), {})
    assert platform.simulators.settle_remove(intent) == "done"
    assert platform.simulators.settle_remove(intent) == "nothing was removed"
    assert platform.blobs.list(Zone.SIMULATORS) == ()


def test_one_admitted_before_there_were_scans_says_so(platform: RunPlatform) -> None:
    platform.admit()
    with platform.database.transaction() as session:
        row = session.query(SimulatorRow).one()
        row.manifest = json.dumps({key: value for key, value in json.loads(row.manifest).items() if key != "scan"})
    assert platform.simulators.show(SCIENTIST, "corridor").as_json()["scan"] is None
    with pytest.raises(MissingError):
        platform.simulators.sbom(SCIENTIST, "corridor")
    assert platform.simulators.verify(SCIENTIST, "corridor").valid
