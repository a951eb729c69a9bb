"""A disk that is full: one line says so, nothing is half-written, and the same command finishes once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ringfence_command import Home
from running_platform import EXAMPLE, SCIENTIST, STEWARD, WRITER, Platform, declaration, free_port, started, the_line

from ringfence.errors import UnavailableError
from ringfence.supervisor.home import Home as Layout
from ringfence.supervisor.home import holder

SIZE = 24 << 20


class Disk:
    """A small disk of its own; `leave` fills it up to a few bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder / "ballast"

    def leave(self, room: int) -> None:
        self.free()
        disk = os.statvfs(self.folder)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - room))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


def mounted(folder: Path) -> Iterator[Disk]:
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", folder],
                           capture_output=True, text=True, check=False)
    if mount.returncode:
        pytest.skip(f"a small disk can't be mounted here: {mount.stderr.strip() or 'mount(8) needs root'}")
    try:
        yield Disk(folder)
    finally:
        with suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    yield from mounted(tmp_path_factory.mktemp("full") / "home")


@pytest.fixture(scope="module")
def platform(disk: Disk) -> Iterator[Platform]:
    """A platform whose home is the small disk. A job whose worker could not write soon goes to another attempt."""
    home = Home(disk.folder)
    try:
        yield started(home, WORKER__LEASE_SECONDS="2")
    finally:
        disk.free()
        home.down()


@pytest.fixture(autouse=True)
def freed(disk: Disk) -> Iterator[None]:
    yield
    disk.free()


def full(line: str) -> bool:
    return "full. Free some space" in line


def test_an_upload_that_does_not_fit_leaves_nothing_and_fits_later(
        platform: Platform, disk: Disk, stays_file: Path) -> None:
    platform.declare(declaration("uploaded"))
    ingest = ("data", "ingest", "uploaded", str(stays_file))
    disk.leave(stays_file.stat().st_size // 2)
    assert full(platform.refused(WRITER, *ingest))
    assert platform.objects("landing") == []
    assert platform.objects("", ".partial") == []
    disk.free()
    assert "rows are in quarantine" in platform.done(WRITER, *ingest)
    assert len(platform.objects("landing")) == 1


@pytest.mark.parametrize("left", [4, 12, 24, 60])
def test_an_upload_that_fits_but_not_what_follows_from_it(
        platform: Platform, disk: Disk, stays_file: Path, tmp_path: Path, left: int) -> None:
    """The file's object can be stored; the transactions that follow find only `left` KiB, and less and less."""
    name = f"tight-{left}"
    platform.declare(declaration(name))
    file = tmp_path / "stays.csv"
    file.write_bytes(b"".join(stays_file.read_bytes().splitlines(keepends=True)[: -1 - left]))
    ingest, others = ("data", "ingest", name, str(file)), platform.objects("landing", "raw")
    disk.leave(file.stat().st_size + (left << 10))
    finished = platform.run(WRITER, *ingest)
    if finished.returncode:
        assert full(the_line(finished))
    disk.free()
    assert "rows are in quarantine" in platform.done(WRITER, *ingest)
    assert platform.dataset(name)["landing"]["size"] == file.stat().st_size
    assert len(platform.objects("landing", "raw")) == len(others) + 1


def test_a_full_database_says_so_and_goes_on_later(platform: Platform, disk: Disk) -> None:
    disk.leave(0)
    with platform.client(STEWARD) as steward, suppress(UnavailableError):
        for _ in range(5000):  # room within the database's own files is used up first
            steward.datasets()
    assert "The disk that holds the database is full." in platform.refused(STEWARD, "data", "list")
    disk.free()
    platform.done(STEWARD, "data", "list")


@pytest.fixture(scope="module")
def classified(platform: Platform, stays_file: Path) -> str:
    platform.declare(declaration("classified"))
    platform.land("classified", stays_file)
    return "classified"


@pytest.mark.parametrize("left", [8, 32])
def test_a_release_that_does_not_fit_keeps_nothing_and_is_done_later(
        platform: Platform, disk: Disk, classified: str, left: int) -> None:
    platform.declare(declaration(classified, ("k: 5", "k: 6" if left == 8 else "k: 7")))
    versions, objects = platform.dataset(classified)["versions"], platform.objects("processing")
    disk.leave(left << 10)
    assert full(platform.refused(STEWARD, "data", "release", classified))
    disk.free()
    platform.done(STEWARD, "data", "release", classified)
    assert len(platform.dataset(classified)["versions"]) == len(versions) + 1
    assert len(platform.objects("processing")) == len(objects) + 1


@pytest.mark.parametrize("left", [8, 32])
def test_a_run_that_can_not_be_kept_says_so_and_is_done_later(
        platform: Platform, disk: Disk, stays_file: Path, tmp_path: Path, left: int) -> None:
    name = f"learned-{left}"
    platform.declare(declaration(name))
    platform.land(name, stays_file)
    platform.done(STEWARD, "data", "release", name)
    spec = tmp_path / "run.yaml"
    text = (EXAMPLE / "runs" / "offline.yaml").read_text().partition("evaluation:")[0]
    spec.write_text(text.replace("icu-stays", name).replace("icu-offline", name))
    disk.leave(left << 10)
    submit = ("train", "submit", str(spec), "--watch")
    finished = platform.run(SCIENTIST, *submit)
    finished.stdout = ""  # metrics of what it still could do
    assert full(the_line(finished))
    disk.free()
    platform.done(SCIENTIST, *submit)
    with platform.client(SCIENTIST) as scientist:
        models = [model["ref"] for model in scientist.models() if model["ref"].startswith(name)]
    assert models == [f"{name}@1"]


def test_a_platform_that_can_not_start_for_want_of_room_says_so_and_starts_later(tmp_path: Path) -> None:
    for disk in mounted(tmp_path / "home"):
        home = Home(disk.folder)
        disk.leave(100 << 10)
        assert full(the_line(home.run("up", "--port", free_port())))
        assert holder(Layout(home.path).lock_file) is None
        disk.free()
        try:
            assert home.json("up", "--port", free_port())["url"]
        finally:
            home.down()
