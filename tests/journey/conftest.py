from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ringfence_command import SMALL, Home
from running_platform import Platform, started, stays


@dataclass(frozen=True)
class Told:
    """A finished quickstart: its home and what it printed."""

    home: Home
    output: str


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    home.down()


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The whole story in small, told once for all tests that look at its end."""
    home = Home(tmp_path_factory.mktemp("story") / "home")
    finished = home.run("quickstart", *SMALL, timeout=600)
    yield Told(home, finished.stdout + finished.stderr)
    home.down()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A running platform with an account for each role, for the tests of one module."""
    home = Home(tmp_path_factory.mktemp("platform") / "home")
    try:
        yield started(home)
    finally:
        home.down()


@pytest.fixture(scope="session")
def stays_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's raw records of 300 stays."""
    return stays(tmp_path_factory.mktemp("stays") / "stays.csv")
