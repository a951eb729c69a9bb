"""The file format: members one after another, encrypted as a stream that shows every change and every missing end.

`magic | header length | header | chunks`. A random data key encrypts the chunks (AES-256-GCM, 1 MiB); it stands in the
header, wrapped by the recovery key with AES-256-GCM. Every chunk is bound to the header's digest, to its index, and to
being the last or not (the STREAM construction, Hoang et al. 2015). Within: `length | {"name", "size"} | bytes` for each
member.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfence.backup.domain import FORMAT, RecoveryKey, tampered
from ringfence.errors import InvalidError

CHUNK = 1 << 20
_MAGIC = b"RFBACKUP1\n"
_TAG, _NONCE = 16, 12
_MAX_HEADER, _MAX_NAME = 4096, 4096


def sealed(parts: Iterable[bytes], key: RecoveryKey) -> Iterator[bytes]:
    """Yield the file whose plain bytes are `parts`. Its end is sealed only when `parts` has ended by itself."""
    data_key = AESGCM.generate_key(256)
    header = _header(data_key, key)
    yield header
    chunks, pending = _Chunks(data_key, header), bytearray()
    for part in parts:
        pending += part
        while len(pending) > CHUNK:
            yield chunks.seal(bytes(pending[:CHUNK]), final=False)
            del pending[:CHUNK]
    yield chunks.seal(bytes(pending), final=True)


def opened(source: BinaryIO, key: RecoveryKey) -> Iterator[bytes]:
    """Yield the plain bytes, each verified before. Only who has seen the end knows that the file is whole.

    Raises:
        InvalidError: `backup.not_a_backup`, `backup.other_key`.
        TamperedError: a byte was changed, or a part is missing, repeated, moved or added.
    """
    header, data_key = _read_header(source, key)
    chunks, block = _Chunks(data_key, header), source.read(CHUNK + _TAG)
    while True:
        following = source.read(CHUNK + _TAG)
        yield chunks.open(block, final=not following)
        if not following:
            return
        block = following


def member(name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield one member: its name, its size in bytes, and its bytes."""
    about = json.dumps({"name": name, "size": size}).encode()
    yield struct.pack(">I", len(about)) + about
    yield from content


def members(plain: Iterator[bytes]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield each member's name and bytes, which must be taken before the next one is asked for.

    Raises:
        TamperedError: it ends in the middle of one; or what `plain` raises.
    """
    reader = _Reader(plain)
    while start := reader.take(4):
        if len(start) != 4 or not 0 < (length := struct.unpack(">I", start)[0]) <= _MAX_NAME:
            raise tampered("a member has no name")
        try:
            about = json.loads(reader.take(length))
            name, size = str(about["name"]), int(about["size"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise tampered("a member's name can't be read") from None
        yield name, reader.parts(size)


class _Reader:
    def __init__(self, plain: Iterator[bytes]) -> None:
        self._plain, self._held = plain, memoryview(b"")

    def take(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""
        return b"".join(self._some(size))

    def parts(self, size: int) -> Iterator[bytes]:
        for part in self._some(size):
            size -= len(part)
            yield part
        if size:
            raise tampered("a member is shorter than it says")

    def _some(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if not self._held:
                self._held = memoryview(next(self._plain, b""))
                if not self._held:
                    return
            part, self._held = self._held[:size], self._held[size:]
            size -= len(part)
            yield bytes(part)


class _Chunks:
    def __init__(self, key: bytes, header: bytes) -> None:
        self._cipher, self._index = AESGCM(key), 0
        self._bound = hashlib.sha256(header).digest()

    def seal(self, chunk: bytes, *, final: bool) -> bytes:
        nonce, bound = self._next(final)
        return self._cipher.encrypt(nonce, chunk, bound)

    def open(self, block: bytes, *, final: bool) -> bytes:
        nonce, bound = self._next(final)
        try:
            return self._cipher.decrypt(nonce, block, bound)
        except (InvalidTag, ValueError):
            raise tampered(f"MiB {self._index - 1} was changed, moved or cut off") from None

    def _next(self, final: bool) -> tuple[bytes, bytes]:
        place = struct.pack(">QB", self._index, final)
        self._index += 1
        return place.rjust(_NONCE, b"\0"), self._bound + place


def _header(data_key: bytes, key: RecoveryKey) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    wrapped = nonce + AESGCM(key.secret).encrypt(nonce, data_key, _wrapping(key.id))
    body = json.dumps({"format": FORMAT, "cipher": "AES-256-GCM", "chunk": CHUNK, "recovery_key": key.id,
                       "key": b64encode(wrapped).decode()}).encode()
    return _MAGIC + struct.pack(">I", len(body)) + body


def _read_header(source: BinaryIO, key: RecoveryKey) -> tuple[bytes, bytes]:
    start = source.read(len(_MAGIC) + 4)
    if not start.startswith(_MAGIC) or len(start) != len(_MAGIC) + 4:
        raise InvalidError("backup.not_a_backup", "This is no backup of a platform, or its beginning was changed.",
                           field="file", fix="Give the file that `ringfence backup create` wrote.")
    size = struct.unpack(">I", start[len(_MAGIC):])[0]
    body = source.read(min(size, _MAX_HEADER + 1))
    try:
        if len(body) != size or size > _MAX_HEADER:
            raise ValueError(size)
        about = json.loads(body)
        identifier, wrapped = str(about["recovery_key"]), b64decode(about["key"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise tampered("its header was changed") from None
    if identifier != key.id:
        raise InvalidError("backup.other_key", f"The recovery key {key.id} does not open this backup, which wants "
                           f"{identifier[:40]!a}.", field="recovery_key",
                           fix="Give the key that was shown when this backup was made.")
    try:
        data_key = AESGCM(key.secret).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], _wrapping(key.id))
    except (InvalidTag, ValueError):
        raise tampered("its header was changed") from None
    return start + body, data_key


def _wrapping(identifier: str) -> bytes:
    return _MAGIC + identifier.encode()
