"""`ringfence backup`: the file and its key are there together, or not at all."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.backup import archive
from ringfence.backup.domain import RecoveryKey
from ringfence.client import Client
from ringfence.errors import UnavailableError
from tests.canned import Canned

Run = Callable[..., Any]


@pytest.fixture
def serving(platform: Canned, monkeypatch: pytest.MonkeyPatch) -> Canned:
    """A platform that backs up one small file for whatever key it is sent."""
    def create(_: Client, recovery_key: str) -> Iterator[bytes]:
        return archive.sealed(archive.member("DEMO", 2, [b"hi"]), RecoveryKey.parse(recovery_key))

    monkeypatch.setattr(Client, "create_backup", create)
    return platform


@pytest.fixture
def breaking(platform: Canned, monkeypatch: pytest.MonkeyPatch) -> Canned:
    """A platform whose stream breaks off."""
    def create(_: Client, recovery_key: str) -> Iterator[bytes]:
        yield b"RFBACKUP1\n"
        raise UnavailableError("client.cut_off", "The platform's answer broke off before its end.", fix="Try again.")

    monkeypatch.setattr(Client, "create_backup", create)
    return platform


def opens(file: Path, key: str) -> list[str]:
    with file.open("rb") as source:
        return [name for name, parts in archive.members(archive.opened(source, RecoveryKey.parse(key)))
                if b"".join(parts) == b"hi"]


@pytest.mark.usefixtures("serving")
def test_the_key_is_shown_once_and_opens_the_file(run: Run, tmp_path: Path) -> None:
    finished = run("backup", "create", "monday.backup", "--json")
    view = json.loads(finished.output)
    assert opens(tmp_path / "monday.backup", view["recovery_key"]) == ["DEMO"]
    assert view["bytes"] == (tmp_path / "monday.backup").stat().st_size
    assert stat.S_IMODE((tmp_path / "monday.backup").stat().st_mode) == 0o600


@pytest.mark.usefixtures("serving")
def test_the_key_goes_into_a_file_of_ones_own_and_is_not_shown(run: Run, tmp_path: Path) -> None:
    finished = run("backup", "create", "monday.backup", "--recovery-key-file", "monday.key")
    assert finished.status == 0
    key = (tmp_path / "monday.key").read_text().strip()
    assert key not in finished.output + finished.errors
    assert stat.S_IMODE((tmp_path / "monday.key").stat().st_mode) == 0o600
    assert opens(tmp_path / "monday.backup", key) == ["DEMO"]


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("there", ["monday.backup", "monday.key"])
def test_nothing_is_written_over(run: Run, tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    finished = run("backup", "create", "monday.backup", "--recovery-key-file", "monday.key")
    assert finished.status == 1
    assert f"{there} is there already" in finished.errors
    assert (tmp_path / there).read_text() == "mine"
    assert len([path for path in tmp_path.iterdir() if "monday" in path.name]) == 1


@pytest.mark.usefixtures("breaking")
def test_what_breaks_off_leaves_nothing(run: Run, tmp_path: Path) -> None:
    finished = run("backup", "create", "monday.backup", "--recovery-key-file", "monday.key")
    assert finished.status == 1
    assert "broke off" in finished.errors
    assert not [path for path in tmp_path.iterdir() if "monday" in path.name]


def test_a_refusal_leaves_nothing_and_says_who_may(run: Run, platform: Canned, tmp_path: Path) -> None:
    platform.answers["POST /api/v1/backups"] = (403, {
        "status": 403, "code": "policy.denied", "title": "dana may not backup.create: This is for platform_engineer.",
        "fix": ""})
    finished = run("backup", "create", "monday.backup")
    assert (finished.status, "This is for platform_engineer" in finished.errors) == (1, True)
    assert not [path for path in tmp_path.iterdir() if "monday" in path.name]


def sealed_file(path: Path, key: RecoveryKey) -> None:
    path.write_bytes(b"".join(archive.sealed(archive.member("DEMO", 2, [b"hi"]), key)))
    path.with_suffix(".key").write_text(key.text())


@pytest.mark.parametrize("verb", [("verify",), ("restore", "--home", "new")])
@pytest.mark.usefixtures("home")
def test_what_is_no_whole_backup_is_refused_offline(run: Run, tmp_path: Path, verb: tuple[str, ...]) -> None:
    sealed_file(tmp_path / "one.backup", RecoveryKey.new())
    finished = run("backup", verb[0], "one.backup", *verb[1:], "--recovery-key-file", "one.key")
    assert (finished.status, "does not hold: its manifest" in finished.errors) == (1, True)
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("home")
def test_a_key_copied_wrongly_is_said_to_be_so(run: Run, tmp_path: Path) -> None:
    sealed_file(tmp_path / "one.backup", RecoveryKey.new())
    (tmp_path / "one.key").write_text("rfrk1_AAAA")
    finished = run("backup", "verify", "one.backup", "--recovery-key-file", "one.key")
    assert (finished.status, "copied with a mistake" in finished.errors) == (1, True)
