from __future__ import annotations

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.soak import SOAKING

settings.register_profile("soak", max_examples=10_000, deadline=None)
if SOAKING:
    settings.load_profile("soak")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every property is part of the soak, with a hundred times the examples."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker("soak")
