"""The object store in a local folder.

An object is `magic | header length | header | chunks`. Its bytes are encrypted with a random key of its own
(AES-256-GCM, 1 MiB chunks), which stands in the header wrapped by the zone's key. Every chunk is bound to the object's
zone, name and header, to its index, and to being the last or not (the STREAM construction, Hoang et al. 2015), so a
changed, missing, repeated or exchanged chunk is refused. Writers work in `.partial` under a lock that dies with them; a
commit is one rename.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfence.errors import DISK_FULL, MissingError, RingfenceError, TamperedError, UnavailableError
from ringfence.storage.blobs import Stored, Wrapping, Zone, require_name
from ringfence_workload.wire import memory

CHUNK = 1 << 20
_TAG = 16
_MAGIC = b"RFBLOB1\n"
_MAX_HEADER = 4096


class FileBlobs:
    """See the module's text. `folder` is made with mode 0700."""

    def __init__(self, folder: Path, keys: Wrapping) -> None:
        self._folder, self._keys = folder, keys
        with _translated():
            for part in (folder, folder / ".partial", *(folder / zone.value for zone in Zone)):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)

    def writer(self, zone: Zone, name: str) -> FileBlobWriter:
        """Return a writer; see `BlobStore.writer`."""
        path = self._path(zone, name)
        key = AESGCM.generate_key(256)
        header = _header(self._keys.wrap(zone.value, key, _context(zone, name)))
        with _translated():
            return FileBlobWriter(self._folder / ".partial", path, _Sealer(key, header, zone, name))

    def put(self, zone: Zone, name: str, data: bytes | memoryview) -> Stored:
        """Store `data` whole; see `BlobStore.put`."""
        with self.writer(zone, name) as writer:
            writer.write(data)
            return writer.commit()

    def put_descriptor(self, zone: Zone, name: str, descriptor: int) -> Stored:
        """Store a sealed memory file; see `BlobStore.put_descriptor`."""
        with memory.mapped(descriptor) as view:
            return self.put(zone, name, view)

    def open(self, zone: Zone, name: str, digest: str = "") -> int:
        """Return a sealed memory file with the verified bytes; see `BlobStore.open`."""
        with self.open_sealed(zone, name) as source, _translated():
            return self._decrypted(source, zone, name, digest)

    def open_sealed(self, zone: Zone, name: str) -> BinaryIO:
        """Return the object's file as it is stored, encrypted; one that is deleted meanwhile can be read to its end.

        Raises:
            MissingError: there is no such object.
        """
        try:
            return open(self._path(zone, name), "rb", opener=_without_links)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingError("blob.missing", f"There is no object {name} in the zone {zone.value}.",
                               fix="List what is there, or store it again.", value=name) from None
        except OSError as error:
            raise _unusable(error) from error

    def delete(self, zone: Zone, name: str) -> None:
        """Remove the object; see `BlobStore.delete`."""
        path = self._path(zone, name)
        with _translated(), suppress(FileNotFoundError):
            path.unlink()
            _sync_folder(path.parent)

    def exists(self, zone: Zone, name: str) -> bool:
        """Say whether the object is there."""
        return self._path(zone, name).is_file()

    def list(self, zone: Zone) -> tuple[str, ...]:
        """Return the names in the zone, sorted."""
        root = self._folder / zone.value
        return tuple(sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()))

    def sweep(self) -> int:
        """Remove what killed writers left; see `BlobStore.sweep`."""
        return sum(_abandoned(path) for path in list((self._folder / ".partial").iterdir()))

    def _path(self, zone: Zone, name: str) -> Path:
        return self._folder / zone.value / require_name(name)

    def _decrypted(self, source: BinaryIO, zone: Zone, name: str, digest: str) -> int:
        target = memory.create("object")
        try:
            header, wrapped = _read_header(source, name)
            opener = _Sealer(self._keys.unwrap(zone.value, wrapped, _context(zone, name)), header, zone, name)
            seen = hashlib.sha256()
            for chunk in opener.opened(source):
                seen.update(chunk)
                _write_all(target, chunk)
            if digest and f"sha256:{seen.hexdigest()}" != digest:
                raise _tampered(name, "it is intact, but not the one recorded")
            return memory.seal(target)
        except BaseException:
            os.close(target)
            raise


class FileBlobWriter:
    """One object being written; made by `FileBlobs.writer`."""

    def __init__(self, partial: Path, path: Path, sealer: _Sealer) -> None:
        self._path, self._sealer = path, sealer
        self._descriptor, self._partial = _locked_file(partial)
        self._pending = bytearray()
        self._digest, self._size, self._open = hashlib.sha256(), 0, True
        try:
            _write_all(self._descriptor, sealer.header)
        except BaseException:
            self._discard()
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes; see `BlobWriter.write`."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self._size += len(view)
        with _translated():
            for start in range(0, len(view), CHUNK):
                self._pending += view[start : start + CHUNK]
                while len(self._pending) > CHUNK:  # the last chunk, however full, is kept for `commit`
                    _write_all(self._descriptor, self._sealer.seal(self._pending[:CHUNK], final=False))
                    del self._pending[:CHUNK]

    def commit(self) -> Stored:
        """Make the object visible, durably; see `BlobWriter.commit`."""
        with _translated():
            _write_all(self._descriptor, self._sealer.seal(self._pending, final=True))
            os.fsync(self._descriptor)
            _make_folder(self._path.parent)
            self._partial.replace(self._path)
            self._close()
            _sync_folder(self._path.parent)
        return Stored(f"sha256:{self._digest.hexdigest()}", self._size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._discard()

    def _discard(self) -> None:
        if self._open:
            self._partial.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._open = False


class _Sealer:
    """Encrypts or decrypts one object's chunks, in order."""

    def __init__(self, key: bytes, header: bytes, zone: Zone, name: str) -> None:
        self.header = header
        self._cipher, self._index = AESGCM(key), 0
        self._bound = hashlib.sha256(header + _context(zone, name)).digest()

    def seal(self, chunk: bytes | bytearray, *, final: bool) -> bytes:
        nonce, bound = self._next(final)
        return self._cipher.encrypt(nonce, bytes(chunk), bound)

    def opened(self, source: BinaryIO) -> Iterator[bytes]:
        block = source.read(CHUNK + _TAG)
        while True:
            following = source.read(CHUNK + _TAG)
            nonce, bound = self._next(not following)
            try:
                yield self._cipher.decrypt(nonce, block, bound)
            except (InvalidTag, ValueError):
                raise _tampered(source.name, f"chunk {self._index - 1} was changed, moved or is missing") from None
            if not following:
                return
            block = following

    def _next(self, final: bool) -> tuple[bytes, bytes]:
        place = struct.pack(">QB", self._index, final)
        self._index += 1
        return place.rjust(12, b"\0"), self._bound + place


def _context(zone: Zone, name: str) -> bytes:
    return f"{zone.value}\0{name}".encode()


def _header(wrapped: bytes) -> bytes:
    body = json.dumps({"cipher": "AES-256-GCM", "chunk": CHUNK, "key": b64encode(wrapped).decode()}).encode()
    return _MAGIC + struct.pack(">I", len(body)) + body


def _read_header(source: BinaryIO, name: str) -> tuple[bytes, bytes]:
    start = source.read(len(_MAGIC) + 4)
    size = struct.unpack(">I", start[len(_MAGIC) :])[0] if len(start) == len(_MAGIC) + 4 else 0
    body = source.read(size) if start.startswith(_MAGIC) and 0 < size <= _MAX_HEADER else b""
    try:
        if not body or len(body) != size:
            raise ValueError(size)
        return start + body, b64decode(json.loads(body)["key"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _tampered(name, "its header was changed") from None


def _tampered(name: str, what: str) -> TamperedError:
    return TamperedError("blob.tampered", f"The object {Path(name).name} does not hold: {what}.",
                         fix="Restore it from a backup and find out who can write to the object store.",
                         value=str(name))


def _locked_file(folder: Path) -> tuple[int, Path]:
    while True:
        path = folder / secrets.token_hex(16)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)  # a sweep came between creating and locking: it took the file for an orphan


def _abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(descriptor).st_nlink:
            return False
        path.unlink()
        return True
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(descriptor)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_folder(folder: Path) -> None:
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in missing:
        _sync_folder(part.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RingfenceError:
        raise
    except OSError as error:
        raise _unusable(error) from error


def _unusable(error: OSError) -> UnavailableError:
    if error.errno in DISK_FULL:
        return UnavailableError("storage.disk_full", "The disk that holds the object store is full.",
                                fix="Free some space and run the command again; nothing was half-written.")
    return UnavailableError("storage.objects", f"The object store can't be used: {error.strerror}.",
                            fix="Check its folder's owner and permissions with `ringfence doctor`.",
                            value=str(error.filename or ""))
