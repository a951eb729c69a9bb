"""A backup of a platform at work: what it holds, who may make it, and that what was restored is the platform."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ringfence.app import recovery
from ringfence.backup.domain import KEYS, RecoveryKey
from ringfence.errors import ConflictError, DeniedError, InvalidError, TamperedError, UnavailableError
from ringfence.sandbox.sandbox import Sandbox
from ringfence.storage.blobs import Zone
from ringfence.storage.database import Database
from ringfence.trust.audit.service import AuditService
from ringfence.trust.domain import Action, Actor, Resource
from tests.backups import (
    CREATING,
    DECLARATION,
    ENGINEER,
    RESTORING,
    STAYS,
    Made,
    backed_up,
    backups,
    platform_in,
    verified,
)
from tests.data_platform import OFFICER, SCIENTIST, STEWARD, WORKER, WRITER, DataPlatform, actor
from tests.fences import CHECKOUT


def parquet(platform: DataPlatform) -> bytes:
    version = platform.data.show(STEWARD, "stays").versions[0]
    name = next(iter(platform.blobs.list(Zone.PROCESSING)))
    descriptor = platform.blobs.open(Zone.PROCESSING, name, version.digest)
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


@contextlib.contextmanager
def restored(file: Path, key: RecoveryKey, home: Path, fence: Sandbox) -> Iterator[DataPlatform]:
    recovery().restore(file, key.text(), home)
    platform = platform_in(home, fence)
    yield platform
    platform.database.close()


def test_what_was_restored_is_the_platform(made: Made, fence: Sandbox, tmp_path: Path) -> None:
    with restored(made.file, made.key, tmp_path / "new" / "home", fence) as platform:
        assert AuditService(platform.gate, platform.trail).verify(OFFICER).valid
        assert platform.trail.public_key() == made.platform.trail.public_key()
        before = {record.seq: record.hash for record in made.platform.records()}
        first = platform.records()[:10]
        assert len(first) == 10
        assert all(before[record.seq] == record.hash for record in first)
        assert parquet(platform) == parquet(made.platform)
        second = platform.released(DECLARATION.replace("stays", "again"), STAYS)  # every key is there to go on with
        assert second.result


def test_only_its_owner_can_read_what_was_restored(made: Made, tmp_path: Path) -> None:
    recovery().restore(made.file, made.key.text(), tmp_path / "home")
    modes = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
             for path in (tmp_path / "home").rglob("*")}
    assert {mode for name, mode in modes.items() if (tmp_path / name).is_dir()} == {0o700}
    assert not [name for name, mode in modes.items() if (tmp_path / name).is_file() and mode & 0o077]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_the_report_says_what_it_holds_and_the_trail_has_its_digest(made: Made, tmp_path: Path) -> None:
    report = verified(made.file, made.key)
    keys = len(list((made.platform.folder.parent / KEYS).iterdir()))
    assert (report.files, report.objects) == (report.objects + keys + 1, 3)  # raw file, example, version
    began, done = (one for one in made.platform.records("backup.create")
                   if one.record["resource"]["name"] == made.key.id)
    assert (began.record["outcome"], done.record["outcome"]) == ("read", "done")
    assert done.record["context"]["manifest"] == report.manifest
    assert report.audit_records == began.seq  # a record of a backup is in it; that it came to its end can't be


def test_neither_data_nor_keys_can_be_read_in_it(made: Made) -> None:
    stored = made.file.read_bytes()
    secrets = [path.read_bytes().strip() for path in (made.platform.folder / "keys").iterdir()]
    assert secrets
    for secret in [*secrets, b"SQLite format 3", b"M0003", b"sign-audit", made.key.secret, made.key.text().encode()]:
        assert secret not in stored


def test_the_recovery_key_is_kept_nowhere(made: Made) -> None:
    for path in made.platform.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert made.key.text().encode() not in content
            assert made.key.secret not in content


@pytest.mark.parametrize("who", [STEWARD, SCIENTIST, WRITER, WORKER, OFFICER, actor("mia", "mlops_engineer"),
                                 actor("vera", "viewer"), actor("otto", "auditor"),
                                 actor("eve", "platform_engineer", "another")], ids=lambda who: f"{who.name}")
def test_only_an_engineer_of_the_platform_makes_one(made: Made, who: Actor) -> None:
    platform = made.platform
    if who.project != "default":
        who = actor(who.name, "viewer", who.project)
    with pytest.raises(DeniedError):
        backups(platform).create(who, RecoveryKey.new().text())
    if who.project == "default":
        assert platform.records("backup.create")[-1].record["outcome"] == "denied"


def test_what_is_no_recovery_key_makes_no_backup(made: Made) -> None:
    with pytest.raises(InvalidError, match="no recovery key"):
        backups(made.platform).create(ENGINEER, "rfrk1_short")


def test_the_wrong_key_opens_nothing_and_leaves_nothing(made: Made, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="does not open this backup"):
        recovery().restore(made.file, RecoveryKey.new().text(), tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.9, 1.0])
def test_a_changed_or_shortened_file_leaves_nothing(made: Made, tmp_path: Path, share: float) -> None:
    good = made.file.read_bytes()
    place = min(int(len(good) * share), len(good) - 1)
    (tmp_path / "file").write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1:])
    with pytest.raises((TamperedError, InvalidError)):
        recovery().restore(tmp_path / "file", made.key.text(), tmp_path / "home")
    (tmp_path / "file").write_bytes(good[:place])
    with pytest.raises((TamperedError, InvalidError)):
        recovery().restore(tmp_path / "file", made.key.text(), tmp_path / "home")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_home_with_something_in_it_is_left_alone(made: Made, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine").write_text("here")
    with pytest.raises(ConflictError, match="not empty"):
        recovery().restore(made.file, made.key.text(), home)
    assert [path.name for path in home.iterdir()] == ["mine"]
    (home / "mine").unlink()
    recovery().restore(made.file, made.key.text(), home)
    assert (home / "platform" / "ringfence.db").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"nothing\.backup can't be read"):
        verified(tmp_path / "nothing.backup", RecoveryKey.new())


def small(home: Path, fence: Sandbox) -> DataPlatform:
    """A platform without a released version, quick to make: a declared dataset and one object of it."""
    platform = platform_in(home, fence)
    platform.data.declare(STEWARD, DECLARATION)
    platform.blobs.put(Zone.PROCESSING, "dataset/one", b"one")
    with platform.database.transaction() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO dataset_versions SELECT 'dataset/one', id, 1, "
            "'sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed', 3, 'job-1', '', '', '', "
            "'example/one', '{}', 'x', '' FROM datasets")
    platform.blobs.put(Zone.LANDING, "example/one", b"before and after")
    return platform


def test_a_trail_that_was_bent_before_is_found_in_the_backup(fence: Sandbox, tmp_path: Path) -> None:
    platform = small(tmp_path / "home", fence)
    platform.database.close()
    with contextlib.closing(sqlite3.connect(platform.folder / "ringfence.db")) as connection, connection:
        connection.execute("DROP TRIGGER audit_records_no_update")
        connection.execute("UPDATE audit_records SET record = replace(record, '\"bundle\":\"', "
                           "'\"bundle\":\"0') WHERE seq = 1")
    key = backed_up(platform, tmp_path / "file")
    with pytest.raises(TamperedError, match=r"audit trail does not verify: Record 1 was changed"):
        verified(tmp_path / "file", key)


def test_an_older_object_under_the_same_name_is_found_in_the_backup(fence: Sandbox, tmp_path: Path) -> None:
    platform = small(tmp_path / "home", fence)
    platform.blobs.put(Zone.PROCESSING, "dataset/one", b"two")
    key = backed_up(platform, tmp_path / "file")
    with pytest.raises(TamperedError, match="not the one recorded"):
        verified(tmp_path / "file", key)


def test_an_object_that_is_lost_stops_the_backup(fence: Sandbox, tmp_path: Path) -> None:
    platform = small(tmp_path / "home", fence)
    platform.blobs.delete(Zone.PROCESSING, "dataset/one")
    with pytest.raises(TamperedError, match="dataset/one of the zone processing is not there"):
        backups(platform).create(ENGINEER, RecoveryKey.new().text())


def test_what_is_deleted_meanwhile_may_be_missing(fence: Sandbox, tmp_path: Path) -> None:
    platform, key = small(tmp_path / "home", fence), RecoveryKey.new()
    parts = backups(platform).create(ENGINEER, key.text())  # the database is copied
    with platform.database.transaction() as session:
        session.connection().exec_driver_sql("DELETE FROM dataset_versions")
    platform.blobs.delete(Zone.PROCESSING, "dataset/one")
    (tmp_path / "file").write_bytes(b"".join(parts))
    assert verified(tmp_path / "file", key).objects == 1


def test_what_is_lost_meanwhile_breaks_the_backup_off(fence: Sandbox, tmp_path: Path) -> None:
    platform, key = small(tmp_path / "home", fence), RecoveryKey.new()
    parts = backups(platform).create(ENGINEER, key.text())
    platform.blobs.delete(Zone.PROCESSING, "dataset/one")
    with pytest.raises(TamperedError, match="is not there, but the database needs it"):
        b"".join(parts)
    assert [one.record["outcome"] for one in platform.records("backup.create")] == ["read"]


def test_a_database_elsewhere_is_not_copied(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none.db'}")
    database.engine = SimpleNamespace(dialect=SimpleNamespace(name="postgresql"))  # type: ignore[assignment]
    with pytest.raises(UnavailableError, match="postgresql database"):
        database.copy_to(tmp_path / "copy")


def test_writers_at_work_do_not_disturb_it(fence: Sandbox, tmp_path: Path) -> None:
    platform, stop, errors = small(tmp_path / "home", fence), threading.Event(), list[Exception]()
    written = [0, 0, 0]

    def write(place: int) -> None:
        try:
            while not stop.is_set():
                platform.blobs.put(Zone.MODELS, f"run/{place}/{written[place]}", b"checkpoint")
                with platform.gate.act(STEWARD, Action.DATASET_LIST, Resource("dataset", f"by {place}")):
                    written[place] += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(place,)) for place in range(len(written))]
    for thread in threads:
        thread.start()
    try:
        reports = []
        for number in range(5):
            before = sum(written)
            key = backed_up(platform, tmp_path / f"{number}.backup")
            while sum(written) == before and not errors:
                threads[0].join(0.01)
            reports.append(verified(tmp_path / f"{number}.backup", key))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    records = [report.audit_records for report in reports]
    assert records == sorted(set(records))
    assert all(report.objects >= 2 for report in reports)


def killed(arguments: list[str]) -> None:
    process = subprocess.Popen([sys.executable, "-m", "tests.backups", *arguments], cwd=CHECKOUT,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with contextlib.closing(process.stdout):
        assert process.stdout.readline() == "halted\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize("point", CREATING)
def test_a_killed_creation_leaves_nothing_that_the_next_start_does_not_remove(fence: Sandbox, tmp_path: Path,
                                                                             point: str) -> None:
    platform = small(tmp_path / "home", fence)
    before = {path for path in platform.folder.rglob("*") if "run" not in path.parts[-2:]}
    killed([str(tmp_path / "home"), point])
    left = list((platform.folder / "run").iterdir())
    assert bool(left) == ("with a name" in point)
    assert backups(platform).sweep() == len(left)
    assert {path for path in platform.folder.rglob("*") if "run" not in path.parts[-2:]} == before
    key = backed_up(platform, tmp_path / "file")
    assert verified(tmp_path / "file", key).objects == 2


def test_a_copy_at_work_is_not_swept_away(fence: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = small(tmp_path / "home", fence)
    real = Database.copy_to

    def sweeping(self: Database, path: Path) -> None:
        real(self, path)
        assert backups(platform).sweep() == 0

    monkeypatch.setattr(Database, "copy_to", sweeping)
    key = backed_up(platform, tmp_path / "file")
    assert verified(tmp_path / "file", key)
    assert os.listdir(platform.folder / "run") == []


@pytest.mark.parametrize("point", RESTORING)
def test_a_killed_restoration_leaves_no_home_and_can_be_done_again(made: Made, tmp_path: Path, point: str) -> None:
    home = tmp_path / "home"
    killed([str(tmp_path / "unused"), point, str(made.file), made.key.text(), str(home)])
    assert not home.exists()
    assert [path.name[:16] for path in tmp_path.iterdir()] == [".home.restoring-"]
    recovery().restore(made.file, made.key.text(), home)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert verified(made.file, made.key)


def test_a_killed_verification_leaves_no_keys_about(made: Made, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    killed([str(tmp_path / "unused"), "half verified", str(made.file), made.key.text(), ""])
    (left,) = tmp_path.iterdir()
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    assert (left / KEYS).is_dir()
    verified(made.file, made.key)
    assert list(tmp_path.iterdir()) == []
