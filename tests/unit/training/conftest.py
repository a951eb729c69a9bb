from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from tests.fences import sandbox
from tests.run_platform import RunPlatform


@pytest.fixture(scope="session")
def fences(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BubblewrapSandbox]:
    with sandbox(tmp_path_factory.mktemp("fences")) as opened:
        yield opened


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, fences: BubblewrapSandbox) -> Path:
    """A platform's folder with the walks released and the corridor admitted, to be copied."""
    folder = tmp_path_factory.mktemp("prepared")
    RunPlatform(folder, fences).prepared().database.close()
    return folder


@pytest.fixture
def platform(tmp_path: Path, home: Path, fences: BubblewrapSandbox) -> Iterator[RunPlatform]:
    shutil.copytree(home, tmp_path / "home")
    opened = RunPlatform(tmp_path / "home", fences)
    yield opened
    opened.database.close()
