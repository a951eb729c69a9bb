"""Verifying and restoring a backup, without a platform: with the file and its recovery key."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from ringfence.backup import archive
from ringfence.backup.domain import (
    DATABASE,
    MANIFEST,
    OBJECTS,
    Manifest,
    Member,
    RecoveryKey,
    Report,
    require_member,
    tampered,
)
from ringfence.backup.references import references
from ringfence.errors import DISK_FULL, ConflictError, InvalidError, RingfenceError, UnavailableError
from ringfence.storage.blobs import Zone
from ringfence.storage.database import Database
from ringfence.trust.audit.chain import ChainReport

_MAX_MANIFEST = 256 << 20


class Objects(Protocol):
    """What verifying needs of the object store."""

    def list(self, zone: Zone) -> tuple[str, ...]:
        """Return the names in the zone."""

    def open(self, zone: Zone, name: str, digest: str = "") -> int:
        """Return the descriptor of the verified plain bytes."""


@dataclass(frozen=True)
class Contents:
    """What lies in an unpacked backup, opened; `verified_trail` verifies the chain and what protects it."""

    database: Database
    objects: Objects
    verified_trail: Callable[[], ChainReport]


class Recovery:
    """`opening` opens the `platform` folder of an unpacked backup."""

    def __init__(self, opening: Callable[[Path], Contents]) -> None:
        self._opening = opening

    def verify(self, file: Path, recovery_key: str) -> Report:
        """Check everything: each byte, each member, the database, the audit chain, each object under its key.

        It unpacks into a private temporary folder (TMPDIR), which needs as much room as the backup.

        Raises:
            InvalidError: it is no backup, or the recovery key is not its own.
            TamperedError: something does not hold: what.
            UnavailableError: there is no room.
        """
        key = RecoveryKey.parse(recovery_key)
        with (_translated(file), _opened(file) as source,
              _partial(Path(tempfile.gettempdir()), ".ringfence-verifying-") as folder):
            return self._unpacked(source, key, folder)

    def restore(self, file: Path, recovery_key: str, home: Path) -> Report:
        """Verify as `verify` does, and make the home of it, whole or not at all.

        Raises:
            ConflictError: the home is not empty.
            InvalidError, TamperedError, UnavailableError: as `verify`; the home is as it was.
        """
        key = RecoveryKey.parse(recovery_key)
        _require_empty(home)
        with (_translated(file), _opened(file) as source,
              _partial(home.parent, f".{home.name}.restoring-") as folder):
            report = self._unpacked(source, key, folder)
            _sync_folders(folder)
            _require_empty(home)
            folder.rename(home)  # over an empty folder only: the system refuses another
            _sync(home.parent)
        return report

    def _unpacked(self, source: BinaryIO, key: RecoveryKey, folder: Path) -> Report:
        manifest, digest = _unpack(source, key, folder)
        records, objects = self._checked(folder, manifest)
        return Report(manifest.created_at, manifest.version, digest, len(manifest.members), objects,
                      sum(one.size for one in manifest.members.values()), records)

    def _checked(self, folder: Path, manifest: Manifest) -> tuple[int, int]:
        contents = self._opening(folder / "platform")
        try:
            with contents.database.reading() as session:
                found = session.scalar(text("PRAGMA integrity_check"))
                if found != "ok":
                    raise tampered(f"its database is damaged: {str(found)[:100]}")
                needed = references(lambda query: session.execute(text(query)))
            trail = contents.verified_trail()
            if not trail.valid:
                raise tampered(f"its audit trail does not verify: {trail.problem}")
            present = {(zone, name) for zone in Zone for name in contents.objects.list(zone)}
            for zone, name in sorted(present):
                os.close(contents.objects.open(zone, name, needed.get((zone, name), "")))
            for zone, name in sorted(set(needed) - present):
                if f"{OBJECTS}/{zone.value}/{name}" not in manifest.gone:
                    raise tampered(f"its database needs the object {name}, which it does not hold")
            return trail.records, len(present)
        finally:
            contents.database.close()


def _unpack(source: BinaryIO, key: RecoveryKey, folder: Path) -> tuple[Manifest, str]:
    found: dict[str, Member] = {}
    stored = b""
    for name, parts in archive.members(archive.opened(source, key)):
        if stored:
            raise tampered("something follows its manifest")
        if name == MANIFEST:
            stored = _limited(parts)
        else:
            found[require_member(name)] = _write(folder, name, parts)
    manifest = Manifest.parse(stored)
    if manifest.members != found or DATABASE not in found:
        raise tampered("its manifest names other files than it holds")
    return manifest, f"sha256:{hashlib.sha256(stored).hexdigest()}"


def _write(folder: Path, name: str, parts: Iterator[bytes]) -> Member:
    path = folder / name
    for parent in reversed(Path(name).parents):
        (folder / parent).mkdir(mode=0o700, exist_ok=True)
    size, seen = 0, hashlib.sha256()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise tampered(f"it holds {path.name} twice") from None
    with os.fdopen(descriptor, "wb") as file:
        for part in parts:
            size += file.write(part)
            seen.update(part)
        file.flush()
        os.fsync(descriptor)
    return Member(size, f"sha256:{seen.hexdigest()}")


def _limited(parts: Iterator[bytes]) -> bytes:
    stored = bytearray()
    for part in parts:
        stored += part
        if len(stored) > _MAX_MANIFEST:
            raise tampered("its manifest is too large")
    return bytes(stored)


@contextmanager
def _partial(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a private folder, which is gone afterwards unless it was renamed; so are those that the killed left."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in parent.glob(f"{prefix}*"):
        if path.lstat().st_uid != os.geteuid():  # what others put into a shared folder is theirs
            continue
        with _locked(path) as alone:
            if alone:
                shutil.rmtree(path, ignore_errors=True)
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    with _locked(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _require_empty(home: Path) -> None:
    if home.is_symlink() or (home.exists() and (not home.is_dir() or any(home.iterdir()))):
        raise ConflictError("backup.home_not_empty", f"{home} is not empty.", field="home", value=str(home),
                            fix="Restore into a folder that is empty or not there yet.")


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        source = file.open("rb")
    except OSError as error:
        raise InvalidError("file.unreadable", f"{file} can't be read: {error.strerror}.", field="file",
                           value=str(file), fix="Check the path and its permissions.") from error
    with source:
        yield source


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except RingfenceError:
        raise
    except DatabaseError as error:
        raise tampered(f"its database can't be read: {error.orig}") from error
    except OSError as error:
        if error.errno in DISK_FULL:
            raise UnavailableError("storage.disk_full", f"There is no room for what {file.name} holds.",
                                   fix="Free some space and run it again; nothing was half-written.") from error
        raise UnavailableError("backup.unusable", f"The backup can't be unpacked: {error}.",
                               fix="Check the folders' owner and permissions.", value=str(file)) from error


def _sync_folders(folder: Path) -> None:
    for parent, _, _ in os.walk(folder):
        _sync(Path(parent))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
