"""`ringfence sim init` writes a project that works at once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ringfence.cli.project import write_project
from ringfence.client.upload import pack
from ringfence.errors import ConflictError, InvalidError
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.simulators.check import examine
from tests.fences import ENVIRONMENTS
from tests.run_platform import RunPlatform


@pytest.mark.parametrize("vector", [False, True])
def test_a_new_project_passes_its_tests_the_check_and_admission(tmp_path: Path, fences: BubblewrapSandbox,
                                                                platform: RunPlatform, vector: bool) -> None:
    folder = tmp_path / "ward-beds"
    assert write_project(folder, vector=vector) == ["README.md", "simulator.yaml", "tests/test_simulator.py",
                                                    "ward_beds_sim.py"]
    own = subprocess.run([ENVIRONMENTS / "base/bin/python", folder / "tests/test_simulator.py"], capture_output=True,
                         text=True, check=False)
    assert (own.returncode, "passed" in own.stdout) == (0, True), own.stderr
    bundle = pack(folder)
    report = examine(fences, bundle)
    assert (report["passed"], report["findings"]) == (True, []), report
    assert {check["state"] for check in report["checks"]} == {"ok"}
    platform.admit(bundle)


@pytest.mark.parametrize("name", ["Ward", "9lives", "a_b", "-x", "x" * 64, "ü"])
def test_a_name_that_can_be_no_simulators_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        write_project(tmp_path / name, vector=False)
    assert caught.value.code == "simulator.name"
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ward").write_text("mine")
    with pytest.raises(ConflictError):
        write_project(tmp_path / "ward", vector=False)
    assert (tmp_path / "ward").read_text() == "mine"


def test_where_nothing_can_be_written_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidError) as caught:
        write_project(tmp_path / "file" / "ward", vector=False)
    assert caught.value.code == "file.unwritable"
