from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from tests.fences import sandbox
from tests.run_platform import RunPlatform


@pytest.fixture(scope="module")
def fences(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BubblewrapSandbox]:
    with sandbox(tmp_path_factory.mktemp("fences")) as opened:
        yield opened


@pytest.fixture
def platform(tmp_path: Path, fences: BubblewrapSandbox) -> Iterator[RunPlatform]:
    opened = RunPlatform(tmp_path, fences)
    yield opened
    opened.database.close()
