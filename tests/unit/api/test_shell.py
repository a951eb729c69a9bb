"""What surrounds every request: who calls, headers, limits, problem documents."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient

from ringfence.api.server import create_app
from ringfence.api.shell import Allowance, Limited, TooSlowError
from ringfence.errors import DeniedError, InvalidError, ThrottledError
from ringfence.trust.domain import Actor
from ringfence.trust.request import current_request


class Landing:
    """Takes uploads as the data service does: part by part, in its own thread."""

    def __init__(self) -> None:
        self.parts: list[int] = []
        self.sha256 = hashlib.sha256()
        self.failure: Exception | None = None

    def ingest(self, actor: Actor, name: str, chunks: Iterable[bytes], sha256: str | None) -> Any:
        try:
            for chunk in chunks:
                self.parts.append(len(chunk))
                self.sha256.update(chunk)
        except Exception as error:
            self.failure = error
            raise
        return SimpleNamespace(as_json=lambda: {"by": actor.name, "name": name, "sha256": sha256})


def test_a_caller_is_known_by_token_or_key(client: TestClient) -> None:
    assert client.get("/api/v1/whoami", headers={"Authorization": "Bearer good"}).json()["name"] == "ada"
    assert client.get("/api/v1/whoami", headers={"Authorization": "bearer  rf_good"}).json()["name"] == "monitor"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer bad"}, {"Authorization": "Bearer rf_bad"},
                                     {"Authorization": "Basic good"}, {"Authorization": "Bearer"},
                                     {"Authorization": "good"}, {"Cookie": "token=good"}])
def test_anybody_else_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/api/v1/whoami", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 401


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/healthz", 200), ("GET", "/api/v1/nothing", 404), ("DELETE", "/api/v1/whoami", 405),
    ("GET", "/api/v1/whoami", 401), ("POST", "/api/v1/sessions", 422), ("GET", "/docs", 404)])
def test_every_answer_carries_the_security_headers_and_an_id(client: TestClient, method: str, path: str, status: int,
                                                             ) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Strict-Transport-Security"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"].startswith("req-")
    if status >= 400:
        problem = answer.json()
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert problem["status"] == status
        assert problem["code"] and problem["title"]
        assert problem["instance"].endswith(answer.headers["X-Request-Id"])


@pytest.mark.parametrize(("given", "kept"), [("ticket-7", True), ("x" * 65, False), ("a b", False), ("é", False)])
def test_a_callers_own_request_id_is_kept_if_it_is_harmless(client: TestClient, given: str, kept: bool) -> None:
    headers = {b"X-Request-Id": given.encode()}
    assert (client.get("/healthz", headers=headers).headers["X-Request-Id"] == given) is kept


def test_head_is_answered_like_get(client: TestClient, ada: dict[str, str]) -> None:
    assert client.head("/healthz").status_code == 200
    assert client.head("/api/v1/whoami").status_code == 401
    assert client.head("/api/v1/whoami", headers=ada).status_code == 200


def test_a_service_sees_the_request_and_the_client(client: TestClient, platform: Any, ada: dict[str, str]) -> None:
    seen = []
    platform.policies = SimpleNamespace(list=lambda actor: seen.append(current_request()) or [])
    client.get("/api/v1/policies", headers={**ada, "X-Request-Id": "ticket-7"})
    assert (seen[0].id, seen[0].client) == ("ticket-7", "testclient")


@pytest.mark.parametrize("error", [
    DeniedError("policy.denied", "No.", fix="Ask."), InvalidError("x.y", "Wrong.", field="name", value="v"),
    ThrottledError("login.throttled", "Too often.")])
def test_an_error_of_a_service_keeps_its_kind(client: TestClient, platform: Any, ada: dict[str, str], error: Any,
                                              ) -> None:
    def refuse(_: Actor) -> None:
        raise error

    platform.data = SimpleNamespace(list=refuse)
    answer = client.get("/api/v1/datasets", headers=ada)
    assert answer.status_code == error.status
    assert {**answer.json(), "instance": ""} == {**error.as_problem(), "instance": ""}
    assert ("Retry-After" in answer.headers) == (error.status == 429)


def test_an_unexpected_fault_tells_nothing_of_itself(client: TestClient, platform: Any, ada: dict[str, str]) -> None:
    def crash(_: Actor) -> None:
        raise ValueError("/home/secret/path")

    platform.data = SimpleNamespace(list=crash)
    answer = client.get("/api/v1/datasets", headers=ada)
    assert (answer.status_code, answer.json()["code"]) == (500, "platform.fault")
    assert "secret" not in answer.text
    assert answer.headers["X-Request-Id"] in answer.json()["fix"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"name": "a"}', b'{"name": 1, "password": "p"}',
                                  b'{"name": "a", "password": "p", "admin": true}', b"[" * 2000])
def test_a_body_that_is_not_as_described_is_refused_without_repeating_it(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/v1/sessions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("request.invalid", "request.unreadable")
    assert answer.json()["value"] == ""


@dataclass(frozen=True)
class View:
    at: datetime
    roles: frozenset[str]


def test_views_are_shown_as_json(client: TestClient, platform: Any, ada: dict[str, str]) -> None:
    view = View(datetime(2026, 1, 2, tzinfo=UTC), frozenset({"viewer"}))
    platform.identity.accounts = lambda actor: [view]
    items = client.get("/api/v1/accounts", headers=ada).json()["items"]
    assert items == [{"at": "2026-01-02T00:00:00+00:00", "roles": ["viewer"]}]


def test_a_large_ordinary_request_is_refused_before_it_is_read(client: TestClient) -> None:
    answer = client.post("/api/v1/sessions", content=b'{"name": "%s"}' % (b"a" * 5000))
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


def test_nor_does_hiding_its_size_help(client: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(10):
            yield b" " * 1000

    answer = client.post("/api/v1/sessions", content=parts(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


def test_an_upload_reaches_the_service_in_parts(client: TestClient, platform: Any, ada: dict[str, str]) -> None:
    platform.data = Landing()
    content = bytes(range(256)) * 14_000

    def parts() -> Iterator[bytes]:
        for start in range(0, len(content), 50_000):
            yield content[start:start + 50_000]

    digest = hashlib.sha256(content).hexdigest()
    answer = client.put("/api/v1/datasets/icu/landing", content=parts(), headers={**ada, "X-Content-SHA256": digest})
    assert answer.status_code == 202
    assert answer.json() == {"by": "ada", "name": "icu", "sha256": digest}
    assert platform.data.sha256.hexdigest() == digest


def test_an_upload_over_its_limit_is_cut_off(client: TestClient, platform: Any, ada: dict[str, str]) -> None:
    platform.data = Landing()

    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    answer = client.put("/api/v1/datasets/icu/landing", content=parts(), headers=ada)
    assert answer.status_code == 413
    assert sum(platform.data.parts) <= 1 << 22


def test_nobody_uploads_without_a_name(client: TestClient, platform: Any) -> None:
    platform.data = Landing()
    assert client.put("/api/v1/datasets/icu/landing", content=b"x").status_code == 401
    assert platform.data.parts == []


def test_a_digest_that_is_none_is_refused_before_the_upload(client: TestClient, platform: Any, ada: dict[str, str],
                                                            ) -> None:
    platform.data = Landing()
    answer = client.put("/api/v1/datasets/icu/landing", content=b"x", headers={**ada, "X-Content-SHA256": "abc"})
    assert answer.status_code == 422
    assert platform.data.parts == []


async def silent() -> dict[str, Any]:
    await anyio.sleep(60)
    return {}


def test_a_client_that_falls_silent_in_its_body_is_cut_off() -> None:
    async def receive() -> None:
        await Limited(silent, Allowance(100, 0.05, 60.0))()

    with pytest.raises(TooSlowError):
        anyio.run(receive)


def test_a_client_that_drips_its_body_is_cut_off_too() -> None:
    async def drip() -> dict[str, Any]:
        await anyio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def receive() -> int:
        limited, taken = Limited(drip, Allowance(10**6, 0.1, 0.2)), 0
        try:
            while True:
                await limited()
                taken += 1
        except TooSlowError:
            return taken

    assert 1 <= anyio.run(receive) <= 10


def test_waiting_for_a_client_to_go_away_has_no_limit() -> None:
    async def messages() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "http.request", "body": b"", "more_body": False}
        await anyio.sleep(0.3)
        yield {"type": "http.disconnect"}

    async def receive() -> str:
        stream = messages()
        limited = Limited(stream.__anext__, Allowance(100, 0.1, 0.1))
        await limited()
        return str((await limited())["type"])

    assert anyio.run(receive) == "http.disconnect"


def test_a_trail_that_may_not_be_taken_away_is_a_refusal_not_a_broken_stream(
        client: TestClient, platform: Any, ada: dict[str, str]) -> None:
    def denied(_: Actor) -> Iterator[str]:
        raise DeniedError("policy.denied", "No.")
        yield ""

    platform.audit = SimpleNamespace(export=denied)
    assert client.get("/api/v1/audit/export", headers=ada).status_code == 403
    platform.audit = SimpleNamespace(export=lambda _: iter(["a", "b\n"]))
    assert client.get("/api/v1/audit/export", headers=ada).text == "a\nb\n"


def test_an_unknown_search_word_is_refused(client: TestClient, ada: dict[str, str]) -> None:
    answer = client.get("/api/v1/audit?actr=ada", headers=ada)
    assert (answer.status_code, answer.json()["field"]) == (422, "actr")


def test_an_upload_that_is_cut_off_fails_in_the_service(platform: Any) -> None:
    platform.data = Landing()
    messages = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PUT", "path": "/api/v1/datasets/icu/landing", "raw_path": b"",
             "query_string": b"", "headers": [(b"authorization", b"Bearer good")], "client": ("192.0.2.7", 1),
             "server": ("ringfence", 443), "scheme": "https", "root_path": "", "http_version": "1.1"}
    anyio.run(create_app(platform), scope, receive, send)
    assert isinstance(platform.data.failure, InvalidError)
    assert platform.data.failure.code == "upload.interrupted"
    assert sent[0]["status"] == 422
