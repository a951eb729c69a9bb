from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringfence.sandbox.sandbox import Sandbox
from tests import fences
from tests.backups import DECLARATION, STAYS, Made, backed_up, platform_in


@pytest.fixture(scope="session")
def fence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with fences.sandbox(tmp_path_factory.mktemp("fences")) as opened:
        yield opened


@pytest.fixture(scope="session")
def made(fence: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    platform = platform_in(folder / "home", fence)
    platform.released(DECLARATION, STAYS)
    return Made(platform, folder / "monday.backup", backed_up(platform, folder / "monday.backup"))
