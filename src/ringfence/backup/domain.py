"""What a backup is made of: its recovery key, its members, its manifest. No I/O, and nothing of the platform."""

from __future__ import annotations

import binascii
import hashlib
import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ringfence.errors import InvalidError, TamperedError

FORMAT = "ringfence-backup/1"
MANIFEST = "manifest.json"
DATABASE = "platform/ringfence.db"
KEYS, AUTHORITY, OBJECTS = "platform/keys", "platform/ca", "platform/objects"
SINGLE = ("DEMO", "platform/worker.key")
"""Files of a home that are members as they are, where they exist."""
_PREFIX = "rfrk1_"
_SECRET, _CHECK = 32, 4
_PART = r"[A-Za-z0-9][A-Za-z0-9._@:-]*"
_MEMBER = re.compile(rf"DEMO|platform/(ringfence\.db|worker\.key|(keys|ca)/{_PART}|objects/[a-z]+(/{_PART}){{1,4}})",
                     re.ASCII)


@dataclass(frozen=True)
class RecoveryKey:
    """32 random bytes, whose text form ends in a checksum, so that a slip of the pen is not taken for another key."""

    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> RecoveryKey:
        """Return a key that nobody has yet."""
        return cls(secrets.token_bytes(_SECRET))

    @classmethod
    def parse(cls, text: str) -> RecoveryKey:
        """Return the key of its text.

        Raises:
            InvalidError: it is no recovery key, or was copied with a mistake.
        """
        try:
            raw = urlsafe_b64decode(text.strip().removeprefix(_PREFIX).encode("ascii"))
        except (ValueError, binascii.Error):
            raw = b""
        key = cls(raw[:_SECRET])
        if len(raw) != _SECRET + _CHECK or key.text() != text.strip():
            raise InvalidError("backup.recovery_key", "This is no recovery key, or was copied with a mistake.",
                               field="recovery_key", fix=f"Give it whole: it begins with {_PREFIX}.")
        return key

    def text(self) -> str:
        """Return what is shown, once."""
        return _PREFIX + urlsafe_b64encode(self.secret + self._digest(b"check")[:_CHECK]).decode()

    @property
    def id(self) -> str:
        """Return what names the key in a backup and in the trail, and tells nothing of it."""
        return self._digest(b"id")[:8].hex()

    def _digest(self, use: bytes) -> bytes:
        return hashlib.sha256(b"ringfence/recovery-key/1/" + use + b"\0" + self.secret).digest()


@dataclass(frozen=True)
class Member:
    """One file in a backup: its size in bytes, and `sha256:` and the hex of its bytes."""

    size: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds; its last member. `gone`: objects deleted while it was made, which nothing needs any more."""

    created_at: str
    version: str
    members: Mapping[str, Member]
    gone: tuple[str, ...] = ()

    def as_bytes(self) -> bytes:
        """Return the manifest as it is stored."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True).encode()

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Return the manifest that was stored.

        Raises:
            TamperedError: it is none.
        """
        try:
            read: dict[str, Any] = json.loads(data)
            if read["format"] != FORMAT:
                raise ValueError(read["format"])
            members = {str(name): Member(int(one["size"]), str(one["digest"])) for name, one in read["members"].items()}
            return cls(str(read["created_at"]), str(read["version"]), members, tuple(map(str, read["gone"])))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise tampered("its manifest can't be read") from None


@dataclass(frozen=True)
class Report:
    """What a verified backup holds; `manifest` is the digest that the trail of the platform has of it."""

    created_at: str
    version: str
    manifest: str
    files: int
    objects: int
    bytes: int
    audit_records: int


def require_member(name: str) -> str:
    """Return the name, if a backup can hold a file of that name: none leads out of the home.

    Raises:
        TamperedError: it can't.
    """
    if not _MEMBER.fullmatch(name):
        raise tampered(f"it holds {name[:80]!r}, which is no file of a platform")
    return name


def tampered(why: str) -> TamperedError:
    """Return the error that says why a backup does not hold."""
    return TamperedError("backup.tampered", f"The backup does not hold: {why}.",
                         fix="Take another copy of it, or an earlier backup.")
