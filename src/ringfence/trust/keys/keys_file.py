"""Keys in files: a folder of mode 0700, a file of mode 0600 for each purpose, all of the platform's own user.

Kinds: `wrap-PURPOSE.key` and `derive.key` (32 random bytes, base64) and `sign-PURPOSE.pem` (Ed25519, PKCS #8). Each is
made when it is first needed, once, however many processes ask; but nothing is ever made in order to *unwrap*.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfence.errors import InvalidError, TamperedError, UnavailableError

_MAGIC = b"RFWRAP1\n"
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,40}", re.ASCII)
_KEY_ID, _NONCE = 8, 12


class FileKeys:
    """See the module's text and the port `Keys`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._read: dict[str, bytes] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(folder, str(error.strerror)) from error
        _require_private(folder, os.stat(folder))

    def wrap(self, purpose: str, key: bytes, context: bytes) -> bytes:
        """Return `key` encrypted for `purpose`; see `Keys.wrap`."""
        wrapping = self._secret(f"wrap-{_word(purpose)}.key", create=True)
        nonce = secrets.token_bytes(_NONCE)
        head = _MAGIC + _key_id(wrapping)
        return head + nonce + AESGCM(wrapping).encrypt(nonce, key, _bound(head, purpose, context))

    def unwrap(self, purpose: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the key that `wrap` was given; see `Keys.unwrap`."""
        wrapping = self._secret(f"wrap-{_word(purpose)}.key", create=False)
        start = len(_MAGIC) + _KEY_ID
        head, nonce, body = wrapped[:start], wrapped[start : start + _NONCE], wrapped[start + _NONCE :]
        if head != _MAGIC + _key_id(wrapping):
            raise TamperedError("keys.other_key", f"This was not wrapped by the key that is here for {purpose}.",
                                fix="Restore the key folder that belongs to this data.", field=purpose)
        try:
            return AESGCM(wrapping).decrypt(nonce, body, _bound(head, purpose, context))
        except (InvalidTag, ValueError):
            raise TamperedError("keys.tampered", f"A wrapped key for {purpose} was changed, or belongs elsewhere.",
                                fix="Restore the object from a backup.", field=purpose) from None

    def sign(self, purpose: str, data: bytes) -> bytes:
        """Return an Ed25519 signature; see `Keys.sign`."""
        return self._signer(purpose).sign(data)

    def public_key(self, purpose: str) -> bytes:
        """Return the public key as PEM; see `Keys.public_key`."""
        return self._signer(purpose).public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def derive(self, purpose: str, context: str) -> bytes:
        """Return 32 derived bytes; see `Keys.derive`."""
        word, rest = _word(purpose).encode(), context.encode()
        info = b"ringfence/derive/1" + b"".join(len(part).to_bytes(4, "big") + part for part in (word, rest))
        return HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(self._secret("derive.key", create=True))

    def _signer(self, purpose: str) -> Ed25519PrivateKey:
        path = self._folder / f"sign-{_word(purpose)}.pem"
        try:
            key = serialization.load_pem_private_key(self._contents(path, _new_signing_key), password=None)
        except ValueError:
            raise _unusable(path, "it is no key") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise _unusable(path, "it is no Ed25519 key")
        return key

    def _secret(self, name: str, *, create: bool) -> bytes:
        path = self._folder / name
        try:
            secret = b64decode(self._contents(path, _new_secret if create else None), validate=False)
        except ValueError:
            raise _unusable(path, "it is no key") from None
        if len(secret) != 32:
            raise _unusable(path, "it is no key of 32 bytes")
        return secret

    def _contents(self, path: Path, make: Callable[[], bytes] | None) -> bytes:
        with self._lock:
            if path.name not in self._read:
                if make and not path.exists():
                    _create_once(path, make())
                self._read[path.name] = _read_private(path)
            return self._read[path.name]


def _word(purpose: str) -> str:
    if not _PURPOSE.fullmatch(purpose):
        raise InvalidError("keys.purpose", "A key's purpose is a word of lower-case letters, digits and hyphens.",
                           field="purpose", value=purpose[:60])
    return purpose


def _key_id(wrapping: bytes) -> bytes:
    return hashlib.sha256(b"ringfence/key-id/1" + wrapping).digest()[:_KEY_ID]


def _bound(head: bytes, purpose: str, context: bytes) -> bytes:
    return head + purpose.encode() + b"\0" + context


def _new_secret() -> bytes:
    return b64encode(secrets.token_bytes(32)) + b"\n"


def _new_signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _create_once(path: Path, contents: bytes) -> None:
    """Make the file whole or not at all; if another process was first, its file stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unusable(path, str(error.strerror)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise UnavailableError("keys.missing", f"The key file {path.name} is not there.",
                               fix=f"Restore it into {path.parent} from your backup of the keys.",
                               value=str(path)) from None
    except OSError as error:
        raise _unusable(path, str(error.strerror)) from error
    with os.fdopen(descriptor, "rb") as file:
        _require_private(path, os.fstat(descriptor))
        return file.read(1 << 16)


def _require_private(path: Path, status: os.stat_result) -> None:
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UnavailableError("keys.permissions", f"Others than its owner may read or write {path}.",
                               fix=f"Run: chmod go= {path}", value=str(path))
    if status.st_uid != os.geteuid():
        raise UnavailableError("keys.owner", f"{path} belongs to another user than the one the platform runs as.",
                               fix=f"Run: chown {os.geteuid()} {path}", value=str(path))


def _unusable(path: Path, why: str) -> UnavailableError:
    return UnavailableError("keys.unusable", f"The key file {path.name} can't be used: {why}.",
                            fix=f"Restore it into {path.parent} from your backup of the keys.", value=str(path))
