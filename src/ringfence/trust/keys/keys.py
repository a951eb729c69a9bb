"""The port to the keys. A key never leaves it: callers hand in what is to be wrapped, signed or derived.

A purpose is a short lower-case word (`landing`, `audit`, `api-keys`); each has its own key, so that nothing made for
one purpose is good for another.
"""

from __future__ import annotations

from typing import Protocol


class Keys(Protocol):
    """Safe for use by many threads and processes."""

    def wrap(self, purpose: str, key: bytes, context: bytes) -> bytes:
        """Return `key` encrypted and authenticated for `purpose`, bound to `context`.

        Raises:
            UnavailableError: the keys can't be read or made, or others may read them.
        """

    def unwrap(self, purpose: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the key that `wrap` was given.

        Raises:
            TamperedError: it was changed, or made for another purpose or context, or by a key that is not here.
            UnavailableError: as `wrap`; a missing key is never made anew here.
        """

    def sign(self, purpose: str, data: bytes) -> bytes:
        """Return the 64 bytes of an Ed25519 signature (RFC 8032).

        Raises:
            UnavailableError: as `wrap`.
        """

    def public_key(self, purpose: str) -> bytes:
        """Return the PEM (SubjectPublicKeyInfo) that verifies what `sign` makes for `purpose`."""

    def derive(self, purpose: str, context: str) -> bytes:
        """Return 32 bytes that only these keys give for `purpose` and `context` (HKDF-SHA256, RFC 5869)."""
