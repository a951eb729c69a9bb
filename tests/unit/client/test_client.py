"""The SDK over real TLS: what it sends, what it raises."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.client import Client
from ringfence.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    MissingError,
    RingfenceError,
    UnauthenticatedError,
    UnavailableError,
    WorkloadError,
)
from tests.canned import Canned, CutOff, canned_platform, problem


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Canned]:
    with canned_platform(tmp_path) as platform:
        yield platform


@pytest.fixture
def client(platform: Canned) -> Iterator[Client]:
    with Client(platform.url, platform.ca) as client:
        yield client


def test_login_keeps_the_token_for_what_follows(platform: Canned, client: Client) -> None:
    platform.answers["POST /api/v1/sessions"] = (201, {"token": "t0ken", "expires_at": "", "actor": {}})
    platform.answers["GET /api/v1/whoami"] = (200, {"name": "ada"})
    client.login("ada", "secret")
    assert client.whoami() == {"name": "ada"}
    assert platform.asked("POST /api/v1/sessions")[0].json() == {"name": "ada", "password": "secret"}
    assert "authorization" not in {name.lower() for name in platform.asked("POST /api/v1/sessions")[0].headers}
    assert platform.asked("GET /api/v1/whoami")[0].headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(("status", "kind"), [
    (401, UnauthenticatedError), (403, DeniedError), (404, MissingError), (409, ConflictError), (422, InvalidError),
    (503, UnavailableError), (500, RingfenceError)])
def test_a_problem_is_raised_as_the_kind_that_the_platform_meant(
        platform: Canned, client: Client, status: int, kind: type[RingfenceError]) -> None:
    platform.answers["GET /api/v1/datasets/icu"] = (status, problem("dataset.some", "No.", status, "Ask."))
    with pytest.raises(kind) as caught:
        client.dataset("icu")
    assert (caught.value.code, caught.value.message, caught.value.fix) == ("dataset.some", "No.", "Ask.")


def test_an_answer_that_is_no_problem_document_still_names_the_status(platform: Canned, client: Client) -> None:
    platform.answers["GET /api/v1/datasets"] = (502, "<html>bad gateway</html>")
    with pytest.raises(RingfenceError, match="502"):
        client.datasets()


def test_an_answer_that_is_not_ours_is_refused(platform: Canned, client: Client) -> None:
    platform.answers["GET /api/v1/whoami"] = (200, "<html>welcome</html>")
    with pytest.raises(UnavailableError, match="not Ringfence"):
        client.whoami()


def test_an_upload_streams_the_file_with_its_digest_and_tells_its_progress(
        platform: Canned, client: Client, tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_000
    file = tmp_path / "stays.csv"
    file.write_bytes(content)
    platform.answers["PUT /api/v1/datasets/icu/landing"] = (202, {"id": "job-1"})
    shares: list[float] = []
    assert client.ingest("icu", file, shares.append) == {"id": "job-1"}
    request = platform.asked("PUT /api/v1/datasets/icu/landing")[0]
    assert request.body == content
    assert request.headers["X-Content-SHA256"] == hashlib.sha256(content).hexdigest()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_file_that_is_not_there_is_named(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"missing\.csv can't be read"):
        client.ingest("icu", tmp_path / "missing.csv")


def test_waiting_follows_a_job_to_its_end(platform: Canned, client: Client) -> None:
    platform.answers["GET /api/v1/jobs/job-1"] = [
        (200, {"state": "queued", "share": 0}), (200, {"state": "running", "share": 0.5}),
        (200, {"state": "done", "share": 1, "result": {"rows": 3}})]
    seen: list[float] = []
    assert client.wait_job("job-1", lambda view: seen.append(view["share"]))["result"] == {"rows": 3}
    assert seen == [0, 0.5, 1]


def test_waiting_raises_what_the_job_failed_with(platform: Canned, client: Client) -> None:
    error = problem("data.malformed", "Line 7 has 3 fields.", 422, "Correct the line.")
    platform.answers["GET /api/v1/jobs/job-1"] = (200, {"state": "failed", "share": 0.2, "error": error})
    with pytest.raises(InvalidError, match="Line 7") as caught:
        client.wait_job("job-1")
    assert not isinstance(caught.value, WorkloadError)
    assert caught.value.fix == "Correct the line."


def test_names_can_not_leave_their_place_in_the_path(platform: Canned, client: Client) -> None:
    with pytest.raises(MissingError):
        client.dataset("../accounts?x=1#y")
    assert platform.requests[0].path == "/api/v1/datasets/..%2Faccounts%3Fx%3D1%23y"


def test_a_model_version_is_addressed_by_name_and_number(platform: Canned, client: Client) -> None:
    platform.answers["GET /api/v1/models/icu/3/package"] = (200, b"\x00tar")
    platform.answers["GET /api/v1/models/icu"] = (200, {"version": 4})
    assert client.model_package("icu@3") == b"\x00tar"
    assert client.model("icu") == {"version": 4}
    with pytest.raises(InvalidError, match="names no version"):
        client.model_package("icu")


def test_the_trail_comes_line_by_line(platform: Canned, client: Client) -> None:
    platform.answers["GET /api/v1/audit/export"] = (200, '{"a":1}\n{"b":2}\n')
    assert list(client.export_audit()) == ['{"a":1}', '{"b":2}']
    platform.answers["GET /api/v1/audit/export"] = (403, problem("policy.denied", status=403))
    with pytest.raises(DeniedError):
        list(client.export_audit())


def test_empty_queries_are_left_out(platform: Canned, client: Client) -> None:
    platform.answers["GET /api/v1/audit"] = (200, {"items": []})
    client.search_audit(actor=None, action="dataset.release", limit=5)
    assert platform.requests[0].path == "/api/v1/audit?action=dataset.release&limit=5"


def test_a_platform_that_another_authority_vouches_for_is_refused(
        platform: Canned, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    with canned_platform(other) as stranger, pytest.raises(UnavailableError) as caught:
        Client(platform.url, stranger.ca).whoami()
    assert caught.value.code == "client.untrusted"
    assert not platform.requests


def test_nothing_there_names_the_url_and_the_way_out() -> None:
    with pytest.raises(UnavailableError, match=r"Nothing answers at https://127\.0\.0\.1:1\.") as caught:
        Client("https://127.0.0.1:1").whoami()
    assert "ringfence up" in caught.value.fix


@pytest.mark.parametrize("url", ["http://127.0.0.1:8443", "127.0.0.1", ""])
def test_only_https_is_spoken(url: str) -> None:
    with pytest.raises(InvalidError, match="https"):
        Client(url)


def test_a_broken_authority_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(InvalidError, match=r"ca\.pem"):
        Client("https://127.0.0.1:1", tmp_path / "ca.pem")


def test_a_backup_is_streamed_as_it_comes(platform: Canned, client: Client) -> None:
    platform.answers["POST /api/v1/backups"] = (200, b"x" * 3_000_000)
    assert b"".join(client.create_backup("rfrk1_key")) == b"x" * 3_000_000
    (request,) = platform.asked("POST /api/v1/backups")
    assert request.json() == {"recovery_key": "rfrk1_key"}
    assert "rfrk1" not in request.path + str(request.headers)


def test_a_backup_that_breaks_off_is_not_taken_for_a_whole_one(platform: Canned, client: Client) -> None:
    platform.answers["POST /api/v1/backups"] = (200, CutOff(b"x" * 3_000_000))
    with pytest.raises(UnavailableError, match="broke off before its end"):
        b"".join(client.create_backup("rfrk1_key"))
    platform.answers["POST /api/v1/backups"] = (403, problem("policy.denied", status=403))
    with pytest.raises(DeniedError):
        b"".join(client.create_backup("rfrk1_key"))
