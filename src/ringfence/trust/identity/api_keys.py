"""API keys: 256 random bits, stored as their HMAC under a pepper that is not in the database."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session as Rows

from ringfence.errors import UnauthenticatedError
from ringfence.storage.ids import new_id
from ringfence.trust.domain import Actor
from ringfence.trust.identity import actors
from ringfence.trust.identity.tables import AccountRow, KeyRow
from ringfence.trust.keys.keys import Keys

PREFIX = "rf_"
_SECRET = re.compile(r"rf_[0-9a-f]{64}", re.ASCII)


class ApiKeys:
    """Makes and reads API keys in the caller's transaction."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def make(self, rows: Rows, account: AccountRow, scopes: Sequence[str], days: int) -> tuple[KeyRow, str]:
        """Add a key's row; return it with the secret, which is nowhere kept."""
        secret, now = PREFIX + secrets.token_hex(32), time.time()
        row = KeyRow(id=new_id("key"), account=account.id, digest=self.digest(secret), scopes=json.dumps(list(scopes)),
                     created_at=now, expires_at=now + days * 86_400)
        rows.add(row)
        return row, secret

    def actor(self, rows: Rows, secret: str) -> Actor:
        """Return the actor of the key's account, narrowed to the key's scopes.

        Raises:
            UnauthenticatedError: there is no such key, it is revoked or its time is over, or its account is disabled.
        """
        row = self._row(rows, secret)
        account = rows.get(AccountRow, row.account) if row else None
        if row is None or account is None or row.revoked_at is not None or row.expires_at <= time.time() \
                or account.disabled_at is not None:
            raise UnauthenticatedError("key.invalid", "The API key does not hold, or its time is over.",
                                       fix="Ask a platform engineer for a new one.")
        return actors.of_account(account, json.loads(row.scopes))

    def digest(self, secret: str) -> str:
        """Return what is stored of a secret."""
        return hmac.new(self._keys.derive("api-keys", "pepper"), secret.encode(), hashlib.sha256).hexdigest()

    def _row(self, rows: Rows, secret: str) -> KeyRow | None:
        if not _SECRET.fullmatch(secret):
            return None
        return rows.scalars(select(KeyRow).where(KeyRow.digest == self.digest(secret))).first()
