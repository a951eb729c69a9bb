"""Making a backup of the platform while it runs. Verifying and restoring one needs no platform: see `recovery`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from sqlalchemy import text

from ringfence import __version__
from ringfence.backup import archive, snapshot
from ringfence.backup.domain import (
    AUTHORITY,
    DATABASE,
    KEYS,
    MANIFEST,
    OBJECTS,
    SINGLE,
    Manifest,
    Member,
    RecoveryKey,
)
from ringfence.backup.references import Place, references
from ringfence.errors import InvalidError, MissingError, TamperedError
from ringfence.storage.blobs import Zone
from ringfence.storage.database import Database
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate

_PART = 1 << 20


class SealedObjects(Protocol):
    """What a backup needs of the object store: the objects as they are stored, encrypted."""

    def list(self, zone: Zone) -> tuple[str, ...]:
        """Return the names in the zone."""

    def exists(self, zone: Zone, name: str) -> bool:
        """Say whether the object is there."""

    def open_sealed(self, zone: Zone, name: str) -> BinaryIO:
        """Return the object's stored bytes. Raises MissingError."""


class BackupService:
    """Takes the database first, then the keys, then the objects.

    An object is stored before a row names it, is never changed, and is deleted only after no row names it: so all
    that the copy of the database needs is still there, or is needed no more. Both are checked.
    """

    def __init__(self, gate: Gate, database: Database, objects: SealedObjects, home: Path, scratch: Path) -> None:
        """`scratch`: a private folder with room for a copy of the database until that has been sent."""
        self._gate, self._database, self._objects = gate, database, objects
        self._home, self._scratch = home, scratch

    def create(self, actor: Actor, recovery_key: str) -> Iterator[bytes]:
        """Return a backup's bytes; decided, recorded and the database copied before this returns.

        The file is whole only at its end, and its end comes only after the trail has the digest of its manifest.

        Raises:
            DeniedError: policy refused.
            InvalidError: it is no recovery key.
            TamperedError: an object that the database needs is not there.
            UnavailableError: there is no room for a copy of the database, or it is no SQLite file.
        """
        resource = Resource("backup", _identifier(recovery_key) or "platform", actor.project)
        with self._gate.read(actor, Action.BACKUP_CREATE, resource):
            key = RecoveryKey.parse(recovery_key)
            database, needed = snapshot.take(self._database, self._scratch)
        for place in needed:
            if not self._objects.exists(*place):
                self._require_unneeded(place)
        return archive.sealed(self._parts(actor, resource, database, needed), key)

    def sweep(self) -> int:
        """Remove the copies of the database that killed processes left; return how many there were."""
        return snapshot.sweep(self._scratch)

    def _parts(self, actor: Actor, resource: Resource, database: BinaryIO, needed: dict[Place, str]) -> Iterator[bytes]:
        taken = _Taken()
        with database:
            yield from taken.add(DATABASE, database)
        for name in self._files():
            with (self._home / name).open("rb") as file:
                yield from taken.add(name, file)
        gone = []
        for place in sorted({(zone, name) for zone in Zone for name in self._objects.list(zone)} | set(needed)):
            try:
                with self._objects.open_sealed(*place) as file:
                    yield from taken.add(_object(place), file)
            except MissingError:
                self._require_unneeded(place)
                gone.append(_object(place))
        manifest = Manifest(datetime.now(UTC).isoformat(), __version__, taken.members, tuple(gone)).as_bytes()
        yield from archive.member(MANIFEST, len(manifest), [manifest])
        facts = {"manifest": f"sha256:{hashlib.sha256(manifest).hexdigest()}",
                 "files": len(taken.members), "bytes": sum(one.size for one in taken.members.values())}
        with self._gate.act(actor, Action.BACKUP_CREATE, resource, facts):
            pass

    def _files(self) -> list[str]:
        folders = [path for folder in (KEYS, AUTHORITY) for path in sorted((self._home / folder).glob("[!.]*"))]
        return [*(name for name in SINGLE if (self._home / name).is_file()),
                *(path.relative_to(self._home).as_posix() for path in folders if path.is_file())]

    def _require_unneeded(self, place: Place) -> None:
        with self._database.reading() as session:
            needed = references(lambda query: session.execute(text(query)))
        if place in needed and not self._objects.exists(*place):
            raise TamperedError("backup.object_missing", f"The object {place[1]} of the zone {place[0].value} is not "
                                "there, but the database needs it.", value=place[1],
                                fix="Restore it from an earlier backup, and find out who can write to the objects.")


class _Taken:
    """What has been read so far."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}

    def add(self, name: str, file: BinaryIO) -> Iterator[bytes]:
        """Yield the file as a member."""
        size, seen = os.fstat(file.fileno()).st_size, hashlib.sha256()

        def content() -> Iterator[bytes]:
            while part := file.read(_PART):
                seen.update(part)
                yield part

        yield from archive.member(name, size, content())
        self.members[name] = Member(size, f"sha256:{seen.hexdigest()}")


def _identifier(recovery_key: str) -> str:
    """Policy has its say before a caller learns what is wrong with what they sent."""
    try:
        return RecoveryKey.parse(recovery_key).id
    except InvalidError:
        return ""


def _object(place: Place) -> str:
    return f"{OBJECTS}/{place[0].value}/{place[1]}"
