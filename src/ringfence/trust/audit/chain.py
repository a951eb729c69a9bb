"""The audit chain and its offline verifier: the standard library and `cryptography`, nothing of the platform.

An export is JSON lines in ASCII: a header, every record from the first on, each signed checkpoint after the record it
vouches for, and at last a checkpoint of kind `export`. A record's hash is `SHA-256("ringfence-audit/1\\n" + previous
hash in hex + "\\n" + the record's JSON as it stands in the line)`. What the verifier can and can't find:

- changed, removed, inserted or reordered records: always, and where, unless the audit signing key itself was stolen;
- a tail that was cut off: always in one export, as its end is signed as an end; an older *whole* export, or a database
  rolled back together with its checkpoints, only with a checkpoint that the verifier kept from before.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

FORMAT = "ringfence-audit/1"
GENESIS = "0" * 64
_RECORD = re.compile(r'\{"hash":"([0-9a-f]{64})","previous":"([0-9a-f]{64})","record":(\{.*\})\}', re.ASCII)
_SIGNED = ("format", "hash", "kind", "seq", "time")
_CHECKPOINT = {"type", "signature", *_SIGNED}


@dataclass(frozen=True)
class ChainReport:
    """What the verifier found. `first_broken` is the first record that can't be believed; `problem` says why."""

    valid: bool
    records: int
    first_broken: int | None = None
    problem: str = ""


def canonical(value: Mapping[str, Any]) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, ASCII.

    Raises:
        ValueError, TypeError: it holds NaN, an infinity, or something that JSON has not.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def record_hash(previous: str, record: str) -> str:
    """Return the hex hash of a record's JSON text that follows `previous`."""
    return hashlib.sha256(f"{FORMAT}\n{previous}\n{record}".encode()).hexdigest()


def record_line(digest: str, previous: str, record: str) -> str:
    """Return a record's line of an export."""
    return f'{{"hash":"{digest}","previous":"{previous}","record":{record}}}'


def header_line(public_key_pem: bytes) -> str:
    """Return the first line of an export by the platform with this key.

    Raises:
        ValueError: it is no public key in PEM.
    """
    pem = load_pem_public_key(public_key_pem).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return canonical({"type": "header", "format": FORMAT, "public_key": pem.decode()})


def signed_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    """Return what a checkpoint's signature covers: its format, kind, sequence number, hash and time."""
    return canonical({name: checkpoint[name] for name in _SIGNED}).encode()


def verify_export(lines: Iterable[str], public_key_pem: bytes, earlier_checkpoint: Mapping[str, Any] | None = None,
                  ) -> ChainReport:
    """Verify an export, its lines without or with their newlines, in constant memory. Never raises on what it reads.

    `public_key_pem` is the platform's audit key, got from somewhere else than the export. `earlier_checkpoint` is one
    that the verifier kept: then an export that does not go on from it is refused as well.
    """
    try:
        key = load_pem_public_key(public_key_pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        return ChainReport(False, 0, None, "The public key is no Ed25519 key in PEM.")
    chain = _Chain(key, header_line(public_key_pem), earlier_checkpoint)
    try:
        for number, line in enumerate(lines, start=1):
            chain.take(line.removesuffix("\n"), number)
        chain.finish()
    except UnicodeDecodeError:
        return ChainReport(False, chain.seq, chain.seq + 1, "The export is no text.")
    except _BrokenError as error:
        return ChainReport(False, chain.seq, chain.seq + 1 if error.record is None else error.record, str(error))
    return ChainReport(True, chain.seq)


class _BrokenError(Exception):
    """`record`: the first that can't be believed, where that is not simply the one after the last good one."""

    def __init__(self, problem: str, record: int | None = None) -> None:
        super().__init__(problem)
        self.record = record


@dataclass
class _Chain:
    key: Ed25519PublicKey
    header: str
    earlier: Mapping[str, Any] | None
    seq: int = 0
    tip: str = GENESIS
    vouched: int = 0  # the last record that a good checkpoint vouches for
    started: bool = False
    ended: bool = False
    earlier_seen: str = ""  # the hash here of the record that the earlier checkpoint vouches for

    def take(self, line: str, number: int) -> None:
        if self.ended:
            raise _BrokenError(f"Line {number} comes after the signed end of the export.")
        match = _RECORD.fullmatch(line) if line.isascii() else None
        if match:
            self._record(*match.groups())
            return
        parsed = _object(line, number)
        if parsed.get("type") == "checkpoint" and set(parsed) == _CHECKPOINT and canonical(parsed) == line:
            self._checkpoint(parsed)
        elif not self.started and line == self.header:
            self.started = True
        elif not self.started and parsed.get("type") == "header":
            raise _BrokenError("The export was made by another platform than the one whose public key this is.")
        else:
            raise _BrokenError(f"Line {number}, where record {self.seq + 1} should be, is no line of an audit export.")

    def finish(self) -> None:
        if not self.started:
            raise _BrokenError("The export has no header: its beginning is missing.")
        if not self.ended:
            raise _BrokenError(f"The export ends after record {self.seq} without a signed end: it was cut off.")
        if self.earlier is not None:
            self._require_earlier(self.earlier)

    def _record(self, digest: str, previous: str, record: str) -> None:
        expected = self.seq + 1
        if not self.started:
            raise _BrokenError("The export has no header: its beginning is missing.")
        seq = _object(record, expected).get("seq")
        if type(seq) is not int or seq != expected:
            raise _BrokenError(f"Record {expected} is missing or was moved: record {seq} stands in its place.")
        if previous != self.tip:
            raise _BrokenError(f"Record {seq} does not follow from the one before it: one of the two was changed.")
        if record_hash(previous, record) != digest:
            raise _BrokenError(f"Record {seq} was changed: its hash does not fit its contents.")
        self.seq, self.tip = seq, digest
        if self.earlier is not None and seq == self.earlier.get("seq"):
            self.earlier_seen = digest

    def _checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        seq = checkpoint.get("seq")
        if not self._signed(checkpoint):
            raise _BrokenError(f"The checkpoint after record {self.seq} has no valid signature of this platform.",
                               self.vouched + 1)
        if type(seq) is int and seq > self.seq:
            raise _BrokenError(f"A signed checkpoint vouches for record {seq}, but the last one here is {self.seq}.")
        if seq != self.seq or checkpoint["hash"] != self.tip:
            raise _BrokenError(f"The signed checkpoint of record {seq} vouches for another chain: a record from "
                               f"{self.vouched + 1} on was changed and the hashes made anew.", self.vouched + 1)
        self.vouched = self.seq
        self.ended = checkpoint["kind"] == "export"

    def _require_earlier(self, earlier: Mapping[str, Any]) -> None:
        seq = earlier.get("seq")
        if not self._signed(earlier) or type(seq) is not int:
            raise _BrokenError("The earlier checkpoint has no valid signature of this platform.")
        if seq > self.seq:
            raise _BrokenError(f"Records {self.seq + 1} to {seq} are missing: an earlier checkpoint vouches for them.")
        if seq and self.earlier_seen != earlier["hash"]:
            raise _BrokenError(f"Record {seq} is not the one that the earlier checkpoint vouches for.", seq)

    def _signed(self, checkpoint: Mapping[str, Any]) -> bool:
        try:
            signature = b64decode(str(checkpoint["signature"]), validate=True)
            self.key.verify(signature, signed_bytes(checkpoint))
        except (InvalidSignature, KeyError, ValueError, TypeError):
            return False
        return bool(checkpoint["format"] == FORMAT) and b64encode(signature).decode() == checkpoint["signature"]


def _object(text: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _BrokenError(f"Line or record {number} can't be read.")
    return value
