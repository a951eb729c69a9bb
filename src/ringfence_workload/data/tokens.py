"""Keyed tokens: the same value has the same token in its scope, and nobody without the key can tell which value it was.

A token is the first 16 bytes of HMAC-SHA256 (RFC 2104), in hex. The key is derived from the scope's per domain (an
output column), so that a value that stands in two columns can't be linked through its tokens.
"""

from __future__ import annotations

import hmac
import json

import polars as pl

from ringfence_workload.task import TaskError
from ringfence_workload.wire import memory

TOKEN_BYTES = 16
KEY_BYTES = 32


def scope_key(descriptor: int) -> bytes:
    """Return the key of the token scope from the sealed memory file {"scope": hex}.

    Raises:
        TaskError: `data.no_key`, for anything but a key of 32 bytes.
    """
    try:
        key = bytes.fromhex(json.loads(memory.read_all(descriptor, 1 << 16))["scope"])
    except (ValueError, KeyError, TypeError):
        key = b""
    if len(key) != KEY_BYTES:
        raise TaskError("data.no_key", "The key of the token scope is missing or has the wrong length.",
                        fix="Check the platform's key store.")
    return key


def tokens(values: pl.Series, scope: bytes, domain: str) -> pl.Series:
    """Replace each value (text, surrounding spaces ignored) by its token, 32 hex digits; null stays null."""
    key = hmac.digest(scope, b"ringfence.token/1\0" + domain.encode(), "sha256")
    text = values.str.strip_chars()
    distinct = text.drop_nulls().unique()
    made = [hmac.digest(key, value.encode(), "sha256")[:TOKEN_BYTES].hex() for value in distinct]
    return text.replace_strict(distinct, pl.Series(made, dtype=pl.String), return_dtype=pl.String)
