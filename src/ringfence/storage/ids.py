"""Identifiers: a kind, then 12 characters that sort by time of creation (`run-0g3kq7v1x9mz`)."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_EPOCH = 1_735_689_600_000  # 2025-01-01 UTC, in milliseconds: 40 bits last until 2059
_RANDOM_BITS = 20


def new_id(kind: str) -> str:
    """Return `kind-` and 40 bits of milliseconds, then 20 random bits, so that later ids sort later.

    Ids are names, not secrets; a table's primary key turns the rare collision into an error.
    """
    milliseconds = time.time_ns() // 1_000_000 - _EPOCH
    number = (milliseconds % (1 << 40)) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return f"{kind}-{''.join(_ALPHABET[number >> shift & 31] for shift in range(55, -1, -5))}"
