from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.data_tasks import DataTasks


@pytest.fixture(scope="session")
def tasks() -> Iterator[DataTasks]:
    running = DataTasks()
    yield running
    running.close()
