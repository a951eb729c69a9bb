"""The application over a platform whose services are a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from ringfence.api.server import create_app
from ringfence.errors import UnauthenticatedError
from ringfence.settings import LimitSettings, Settings
from ringfence.trust.domain import Actor

ADA = Actor("account-1", "ada", "person", frozenset({"data_steward"}), "default", "ada")
MONITOR = Actor("account-2", "monitor", "service", frozenset({"endpoint_caller"}), "default")


class Identity:
    """Knows one token and one key."""

    def actor_from_token(self, token: str) -> Actor:
        if token != "good":
            raise UnauthenticatedError("session.invalid", "The session has ended.", fix="Log in again.")
        return ADA

    def actor_from_key(self, secret: str) -> Actor:
        if secret != "rf_good":
            raise UnauthenticatedError("key.invalid", "The key does not hold.")
        return MONITOR


@pytest.fixture
def platform(tmp_path: Path) -> Any:
    settings = Settings(home=tmp_path, limits=LimitSettings(request_bytes=4096, upload_bytes=1 << 22,
                                                            bundle_bytes=1 << 20, body_seconds=0.5, idle_seconds=0.5))
    return SimpleNamespace(settings=settings, identity=Identity())


@pytest.fixture
def client(platform: Any) -> Iterator[TestClient]:
    with TestClient(create_app(platform), base_url="https://ringfence", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def ada() -> dict[str, str]:
    """Headers of somebody logged in."""
    return {"Authorization": "Bearer good"}
