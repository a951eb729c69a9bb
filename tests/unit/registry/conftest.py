from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fences import ENVIRONMENTS
from tests.run_platform import RunPlatform


class NoSandbox:
    """The registry runs nothing."""

    environments = ENVIRONMENTS


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[RunPlatform]:
    opened = RunPlatform(tmp_path, NoSandbox())  # type: ignore[arg-type]
    yield opened
    opened.database.close()
