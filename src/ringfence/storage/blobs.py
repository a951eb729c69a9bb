"""The port to the object store: encrypted, immutable, in zones with a key each.

A name is `<kind>/<id>`, up to four segments of letters, digits and `._@:-`. An object is bound to its zone and name: a
valid ciphertext that was moved or exchanged is refused. Who needs to know that an object is *the* one (not an older one
of the same name) passes the digest that the database holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from ringfence.errors import InvalidError


class Zone(StrEnum):
    """One access-controlled part of the store; each has its own key."""

    LANDING = "landing"
    PROCESSING = "processing"
    MODELS = "models"
    SIMULATORS = "simulators"
    BACKUP = "backup"


@dataclass(frozen=True)
class Stored:
    """What was committed: `digest` is `sha256:` and the hex of the plain bytes, `size` their number."""

    digest: str
    size: int


class BlobWriter(Protocol):
    """One object being written. Nothing is visible, or left behind, unless `commit` returned."""

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes.

        Raises:
            UnavailableError: `storage.disk_full`, or the store can't be written.
        """

    def commit(self) -> Stored:
        """Make the object visible, durably (file and folder are synced); it replaces one of the same name at once.

        Raises:
            UnavailableError: as `write`; then nothing has changed.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None: ...


class BlobStore(Protocol):
    """The store. Safe for use by many threads and processes."""

    def writer(self, zone: Zone, name: str) -> BlobWriter:
        """Return a writer, to be used as a context manager."""

    def put(self, zone: Zone, name: str, data: bytes | memoryview) -> Stored:
        """Store `data` whole."""

    def put_descriptor(self, zone: Zone, name: str, descriptor: int) -> Stored:
        """Store the contents of a sealed memory file.

        Raises:
            NotSealedError: it is not sealed (`ringfence_workload.wire.memory`).
        """

    def open(self, zone: Zone, name: str, digest: str = "") -> int:
        """Return the descriptor of a new sealed memory file with the plain bytes, all of them verified before.

        With `digest`, an intact object with other contents is refused too.

        Raises:
            MissingError: there is no such object.
            TamperedError: a byte was changed, it was moved, exchanged or cut short, or is not the one of `digest`.
        """

    def delete(self, zone: Zone, name: str) -> None:
        """Remove the object; one that is not there is no error."""

    def exists(self, zone: Zone, name: str) -> bool:
        """Say whether the object is there."""

    def list(self, zone: Zone) -> tuple[str, ...]:
        """Return the names in the zone, sorted."""

    def sweep(self) -> int:
        """Remove what killed writers left; return how many there were. Writers at work are not disturbed."""


class Wrapping(Protocol):
    """What the store needs of the key port."""

    def wrap(self, purpose: str, key: bytes, context: bytes) -> bytes:
        """Return `key` encrypted for `purpose`, bound to `context`."""

    def unwrap(self, purpose: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the key that `wrap` was given."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}){1,3}", re.ASCII)


def require_name(name: str) -> str:
    """Return the name.

    Raises:
        InvalidError: it is not two to four safe segments.
    """
    if not _NAME.fullmatch(name):
        raise InvalidError("blob.name", "An object's name is two to four segments of letters, digits and ._@:- .",
                           fix="Use a name such as run/run-0g3kq7v1x9mz.", field="name", value=name[:200])
    return name
