"""What every object store must do, and what it must refuse."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.errors import InvalidError, MissingError, RingfenceError, TamperedError
from ringfence.storage import blobs_file
from ringfence.storage.blobs import BlobStore, Zone
from ringfence.storage.blobs_file import FileBlobs
from ringfence.trust.keys.keys_file import FileKeys
from ringfence_workload.wire import memory

NAME = "run/run-1"


@pytest.fixture(params=["file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    assert request.param == "file"
    return FileBlobs(tmp_path / "objects", FileKeys(tmp_path / "keys"))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(blobs_file, "CHUNK", 32)
    return 32


def read(store: BlobStore, zone: Zone, name: str, digest: str = "") -> bytes:
    descriptor = store.open(zone, name, digest)
    try:
        return memory.read_all(descriptor, 1 << 30)
    finally:
        os.close(descriptor)


def file_of(store: FileBlobs, zone: Zone, name: str) -> Path:
    return store._folder / zone.value / name


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 7])
def test_what_is_put_comes_back(store: BlobStore, size: int) -> None:
    data = os.urandom(size)
    stored = store.put(Zone.PROCESSING, NAME, data)
    assert (stored.digest, stored.size) == (f"sha256:{hashlib.sha256(data).hexdigest()}", size)
    assert read(store, Zone.PROCESSING, NAME, stored.digest) == data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(parts=st.lists(st.binary(max_size=100), max_size=8))
def test_how_it_is_cut_into_writes_does_not_matter(store: BlobStore, small_chunks: int, parts: list[bytes]) -> None:
    with store.writer(Zone.LANDING, NAME) as writer:
        for part in parts:
            writer.write(part)
        stored = writer.commit()
    assert read(store, Zone.LANDING, NAME) == b"".join(parts)
    assert stored.size == sum(map(len, parts))


def test_a_sealed_memory_file_is_stored_and_an_unsealed_one_refused(store: BlobStore) -> None:
    sealed, unsealed = memory.sealed(b"data"), memory.create("open")
    assert read(store, Zone.MODELS, store.put_descriptor(Zone.MODELS, NAME, sealed) and NAME) == b"data"
    with pytest.raises(memory.NotSealedError):
        store.put_descriptor(Zone.MODELS, "run/run-2", unsealed)
    assert not store.exists(Zone.MODELS, "run/run-2")
    os.close(sealed)
    os.close(unsealed)


def test_what_is_handed_out_is_sealed(store: BlobStore) -> None:
    store.put(Zone.MODELS, NAME, b"data")
    descriptor = store.open(Zone.MODELS, NAME)
    assert memory.require_seals(descriptor) == 4
    os.close(descriptor)


def test_what_is_not_committed_was_never_there(store: BlobStore) -> None:
    with store.writer(Zone.LANDING, NAME) as writer:
        writer.write(b"x" * (3 << 20))
    with pytest.raises(TypeError), store.writer(Zone.LANDING, NAME) as writer:
        writer.write("no bytes")  # type: ignore[arg-type]
    assert store.list(Zone.LANDING) == ()
    assert store.sweep() == 0, "nothing is left to sweep"


def test_an_uncommitted_writer_leaves_what_was_there(store: BlobStore) -> None:
    store.put(Zone.LANDING, NAME, b"old")
    with store.writer(Zone.LANDING, NAME) as writer:
        writer.write(b"new")
        assert read(store, Zone.LANDING, NAME) == b"old"
    assert read(store, Zone.LANDING, NAME) == b"old"


def test_listing_deleting_and_existing(store: BlobStore) -> None:
    for name in ("run/b", "run/a", "dataset/x@1/data.parquet"):
        store.put(Zone.PROCESSING, name, b"x")
    assert store.list(Zone.PROCESSING) == ("dataset/x@1/data.parquet", "run/a", "run/b")
    assert store.list(Zone.LANDING) == ()
    store.delete(Zone.PROCESSING, "run/a")
    store.delete(Zone.PROCESSING, "run/a")
    assert not store.exists(Zone.PROCESSING, "run/a") and store.exists(Zone.PROCESSING, "run/b")
    with pytest.raises(MissingError):
        store.open(Zone.PROCESSING, "run/a")
    with pytest.raises(MissingError):
        store.open(Zone.PROCESSING, "dataset/x@1")


@pytest.mark.parametrize("name", ["", "a", "/a/b", "a/", "a//b", "../a/b", "a/../b", "a/.b", "a/b\0", "a/b\n", "a/ä",
                                  "a/b/c/d/e", "a/" + "b" * 200, ".partial/x", "a/b c"])
def test_unsafe_names_are_refused(store: BlobStore, name: str) -> None:
    for use in (store.writer, store.open, store.delete, store.exists):
        with pytest.raises(InvalidError, match="name"):
            use(Zone.LANDING, name)


def test_every_changed_byte_is_found(store: FileBlobs, small_chunks: int) -> None:
    store.put(Zone.LANDING, NAME, os.urandom(100))
    path = file_of(store, Zone.LANDING, NAME)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(TamperedError):
            store.open(Zone.LANDING, NAME)
    path.write_bytes(good)
    assert len(read(store, Zone.LANDING, NAME)) == 100


def test_every_shortening_and_lengthening_is_found(store: FileBlobs, small_chunks: int) -> None:
    store.put(Zone.LANDING, NAME, os.urandom(96))
    path = file_of(store, Zone.LANDING, NAME)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(TamperedError):
            store.open(Zone.LANDING, NAME)
    for more in (b"x", good[-48:], bytes(48)):
        path.write_bytes(good + more)
        with pytest.raises(TamperedError):
            store.open(Zone.LANDING, NAME)


def test_exchanged_and_repeated_chunks_are_found(store: FileBlobs, small_chunks: int) -> None:
    store.put(Zone.LANDING, NAME, os.urandom(32 * 4))
    path = file_of(store, Zone.LANDING, NAME)
    good, sealed = path.read_bytes(), 32 + 16
    head, chunks = good[: -4 * sealed], [good[len(good) - i * sealed :][:sealed] for i in (4, 3, 2, 1)]
    assert head + b"".join(chunks) == good
    for order in ([1, 0, 2, 3], [0, 0, 2, 3], [0, 2, 3], [0, 1, 3, 2], [0, 1, 2, 2, 3], [3], [0, 1, 2]):
        path.write_bytes(head + b"".join(chunks[i] for i in order))
        with pytest.raises(TamperedError):
            store.open(Zone.LANDING, NAME)


def test_a_moved_object_is_refused(store: FileBlobs) -> None:
    store.put(Zone.LANDING, NAME, b"of one")
    store.put(Zone.LANDING, "run/run-2", b"of two")
    store.put(Zone.PROCESSING, NAME, b"of another zone")
    moved = file_of(store, Zone.LANDING, NAME).read_bytes()
    for zone, name in ((Zone.LANDING, "run/run-2"), (Zone.PROCESSING, NAME)):
        file_of(store, zone, name).write_bytes(moved)
        with pytest.raises(TamperedError):
            store.open(zone, name)


def test_an_older_object_of_the_name_is_refused_by_its_digest(store: FileBlobs) -> None:
    store.put(Zone.MODELS, NAME, b"version one")
    old = file_of(store, Zone.MODELS, NAME).read_bytes()
    stored = store.put(Zone.MODELS, NAME, b"version two")
    file_of(store, Zone.MODELS, NAME).write_bytes(old)
    assert read(store, Zone.MODELS, NAME) == b"version one", "intact: only the digest tells"
    with pytest.raises(TamperedError, match="not the one recorded"):
        store.open(Zone.MODELS, NAME, stored.digest)


def test_nothing_readable_is_on_disk(store: FileBlobs, tmp_path: Path) -> None:
    canary = b"Jane Doe 123-45-6789"
    with store.writer(Zone.LANDING, NAME) as writer:
        writer.write(canary * 100_000)
        partial = b"".join(path.read_bytes() for path in (tmp_path / "objects" / ".partial").iterdir())
        writer.commit()
    assert len(partial) > 1 << 20 and canary not in partial
    assert canary not in file_of(store, Zone.LANDING, NAME).read_bytes()


def test_the_same_bytes_twice_look_different(store: FileBlobs) -> None:
    store.put(Zone.LANDING, NAME, b"same" * 100)
    first = file_of(store, Zone.LANDING, NAME).read_bytes()
    store.put(Zone.LANDING, NAME, b"same" * 100)
    assert first[-400:] != file_of(store, Zone.LANDING, NAME).read_bytes()[-400:]


def test_another_platforms_keys_open_nothing(store: FileBlobs, tmp_path: Path) -> None:
    store.put(Zone.LANDING, NAME, b"data")
    FileKeys(tmp_path / "other").wrap("landing", b"k" * 32, b"")
    with pytest.raises(RingfenceError, match="key"):
        FileBlobs(tmp_path / "objects", FileKeys(tmp_path / "other")).open(Zone.LANDING, NAME)


def test_the_store_is_private(store: FileBlobs, tmp_path: Path) -> None:
    store.put(Zone.LANDING, NAME, b"data")
    for path in (tmp_path / "objects").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


WRITER = """
import sys
from pathlib import Path
from ringfence.storage.blobs import Zone
from ringfence.storage.blobs_file import FileBlobs
from ringfence.trust.keys.keys_file import FileKeys
home = Path(sys.argv[1])
with FileBlobs(home / "objects", FileKeys(home / "keys")).writer(Zone.LANDING, "run/killed") as writer:
    writer.write(b"x" * (3 << 20))
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_leaves_nothing(store: FileBlobs, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"writing\n"
        assert store.sweep() == 0, "a writer at work is not disturbed"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert store.list(Zone.LANDING) == ()
    assert store.sweep() == 1
    assert list((tmp_path / "objects" / ".partial").iterdir()) == []


FILLER = """
import resource, sys
from pathlib import Path
from ringfence.errors import UnavailableError
from ringfence.storage.blobs import Zone
from ringfence.storage.blobs_file import FileBlobs
from ringfence.trust.keys.keys_file import FileKeys
objects, keys, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
store = FileBlobs(objects, FileKeys(keys))
store.put(Zone.LANDING, "run/before", b"small")
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    store.put(Zone.LANDING, "run/large", bytes(4 << 20))
    print("written")
except UnavailableError as error:
    print(error.code, store.list(Zone.LANDING), len(list((objects / ".partial").iterdir())))
"""


def filled(objects: Path, keys: Path, limit: int) -> str:
    done = subprocess.run([sys.executable, "-c", FILLER, str(objects), str(keys), str(limit)], capture_output=True,
                          text=True, check=True)
    return done.stdout.strip()


def test_a_file_over_the_limit_leaves_nothing(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    assert filled(tmp_path / "o", tmp_path / "k", 2 << 20) == "storage.disk_full ('run/before',) 0"


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
                                      check=False).returncode:
        pytest.skip("only root can mount a small disk; the limit above is the same path")
    try:
        assert filled(disk / "o", tmp_path / "k", 0) == "storage.disk_full ('run/before',) 0"
    finally:
        subprocess.run(["umount", str(disk)], check=True)
