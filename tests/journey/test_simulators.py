"""A simulator's whole way on a running platform, as its author goes it: begin, check, hand in, look, verify, remove."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ringfence_command import Home
from test_up_down import free_port

GALLERY = Path(__file__).resolve().parents[2] / "examples" / "simulators"
PASSWORD = "correct horse battery 9"


@dataclass(frozen=True)
class Author:
    """A data scientist's command line."""

    home: Home
    folder: Path

    def json(self, *arguments: str) -> Any:
        return self.home.json(*arguments)

    def refused(self, *arguments: str) -> str:
        finished = self.home.run(*arguments)
        assert finished.returncode == 1, finished.stdout
        return finished.stderr


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Author]:
    folder = tmp_path_factory.mktemp("author")
    home = Home(folder / "home")
    home.json("up", "--port", free_port())
    home.json("login", "ada.admin", "--bootstrap", "--password-stdin", stdin=f"{PASSWORD}\n")
    secret = folder / "dan.password"
    home.json("account", "create", "dan.scientist", "--role", "data_scientist", "--password-file", str(secret))
    home.json("login", "dan.scientist", "--password-stdin", stdin=secret.read_text())
    yield Author(home, folder)
    home.down()


def test_from_nothing_to_the_catalogue_and_out_again(author: Author) -> None:
    project = str(author.folder / "ward-beds")
    assert author.json("sim", "init", project, "--vector")["files"]
    checked = author.json("sim", "check", project)
    assert checked["passed"]
    built = author.json("sim", "build", project)["result"]
    assert built["digest"] == checked["digest"]
    (listed,) = [view for view in author.json("sim", "list") if view["name"] == "ward-beds"]
    assert (listed["state"], listed["scan"]["counts"]["high"]) == ("admitted", 0)
    shown = author.json("sim", "show", "ward-beds")
    assert shown["sbom"]["specVersion"] == "1.6"
    assert "not checked" in author.home.run("sim", "show", "ward-beds").stdout
    assert author.json("sim", "verify", "ward-beds")["valid"]
    assert "ward-beds@VERSION" in author.refused("sim", "rm", "ward-beds")
    assert author.json("sim", "rm", "ward-beds@0.1.0")["state"] == "removed"
    assert "no admitted simulator" in author.refused("sim", "show", "ward-beds")


def test_building_twice_gives_the_same_digest(author: Author) -> None:
    copy = author.folder / "another place" / "cartpole"
    shutil.copytree(GALLERY / "cartpole", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "cartpole_sim.py").touch()
    first, second = (author.json("sim", "build", str(folder))["result"]["digest"]
                     for folder in (GALLERY / "cartpole", copy))
    assert first == second == author.json("sim", "check", str(copy))["digest"]


def test_a_bundle_with_a_finding_is_refused_by_name_before_and_after(author: Author) -> None:
    project = author.folder / "leaky"
    author.json("sim", "init", str(project))
    module = project / "leaky_sim.py"
    module.write_text(module.read_text() + "\nKEY = 'AK" + "IAIOSFODNN7EXAMPLE'\n")
    finished = author.home.run("sim", "check", str(project), "--json")
    report = json.loads(finished.stdout)
    assert (finished.returncode, report["passed"]) == (1, False)
    assert report["findings"][0]["rule"] == "secret.aws_key"
    error = author.refused("sim", "build", str(project))
    assert "critical finding secret.aws_key in leaky_sim.py, line" in error
    assert "IOSFODNN" not in error + finished.stdout


def test_a_check_needs_no_platform(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    report = home.json("sim", "check", str(GALLERY / "trading"))
    assert report["passed"]
    assert not (home.path / "platform").exists()
