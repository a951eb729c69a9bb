"""Passwords: argon2id with RFC 9106's second recommended parameters, at most two at a time (64 MiB each)."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_at_once = threading.BoundedSemaphore(2)
_nobodys: list[str] = []


def generate() -> str:
    """Return a random password of 192 bits."""
    return secrets.token_urlsafe(24)


def hashed(password: str) -> str:
    """Return the password's hash in argon2's own notation, parameters and salt included."""
    with _at_once:
        return _hasher.hash(password)


def holds(stored: str, password: str) -> bool:
    """Say whether the password is the stored one. An empty `stored` (no such account) costs as much and never holds."""
    if not _nobodys:  # at the first login of all, so that no later one takes longer
        _nobodys.append(hashed(generate()))
    with _at_once, suppress(VerificationError, InvalidHashError):
        return _hasher.verify(stored or _nobodys[0], password) and bool(stored)
    return False


def outdated(stored: str) -> bool:
    """Say whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)
