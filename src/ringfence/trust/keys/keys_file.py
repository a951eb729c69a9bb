"""Keys in files: a folder of mode 0700, a file of mode 0600 for each purpose, all of the platform's own user.

Kinds: `wrap-PURPOSE.key` and `derive.key` (32 random bytes, base64) and `sign-PURPOSE.pem` (Ed25519, PKCS #8). Each is
made when it is first needed, once, however many processes ask; but nothing is ever made in order to *unwrap*.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfence.errors import InvalidError, MissingError, TamperedError, UnavailableError
from ringfence.trust import private_files

_MAGIC = b"RFWRAP1\n"
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,40}", re.ASCII)
_KEY_ID, _NONCE = 8, 12


class FileKeys:
    """See the module's text and the port `Keys`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._read: dict[str, bytes] = {}
        private_files.make_folder(folder)

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
                    private_files.create(path, make())
                self._read[path.name] = _read(path)
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


def _read(path: Path) -> bytes:
    try:
        return private_files.read(path)
    except MissingError:
        raise UnavailableError("keys.missing", f"The key file {path.name} is not there.", value=str(path),
                               fix=f"Restore it into {path.parent} from your backup of the keys.") from None


def _unusable(path: Path, why: str) -> UnavailableError:
    return UnavailableError("keys.unusable", f"The key file {path.name} can't be used: {why}.",
                            fix=f"Restore it into {path.parent} from your backup of the keys.", value=str(path))
