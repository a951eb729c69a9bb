"""The token with which the first administrator is made: a file of mode 0600, good for an hour, good for once."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session as Rows

from ringfence.errors import DeniedError, MissingError
from ringfence.storage.database import Database
from ringfence.trust import private_files
from ringfence.trust.identity import accounts
from ringfence.trust.identity.tables import BootstrapRow

LIFETIME = 3600.0


class BootstrapToken:
    """`digest` hashes a token for the table; the token itself stands in the file only."""

    def __init__(self, database: Database, path: Path, digest: Callable[[str], str],
                 clock: Callable[[], float] = time.time) -> None:
        self._database, self.path, self._digest, self._clock = database, path, digest, clock

    def ensure(self) -> Path:
        """Write a token unless a good one is there; take it away once there are accounts. Return where it is."""
        with self._database.transaction() as rows:
            if accounts.people(rows):
                self.remove()
            elif not self.good(rows, self._written()):
                token = secrets.token_urlsafe(32)
                rows.execute(update(BootstrapRow).where(BootstrapRow.used_at.is_(None)).values(used_at=self._clock()))
                rows.add(BootstrapRow(digest=self._digest(token), expires_at=self._clock() + LIFETIME))
                private_files.write(self.path, f"{token}\n".encode())
        return self.path

    def good(self, rows: Rows, token: str) -> bool:
        """Say whether the token can be used now."""
        row = rows.get(BootstrapRow, self._digest(token)) if token else None
        return row is not None and row.used_at is None and row.expires_at > self._clock()

    def consume(self, rows: Rows, token: str) -> None:
        """Use the token up, in the caller's transaction.

        Raises:
            DeniedError: another request was first.
        """
        row = rows.scalars(select(BootstrapRow).where(BootstrapRow.digest == self._digest(token))).first()
        if row is None or row.used_at is not None or accounts.people(rows):
            raise DeniedError("platform.bootstrapped", "The bootstrap token has been used already.",
                              fix="Ask an administrator for an account.")
        row.used_at = self._clock()

    def remove(self) -> None:
        """Take the file away."""
        self.path.unlink(missing_ok=True)

    def _written(self) -> str:
        try:
            return private_files.read(self.path).decode(errors="replace").strip()
        except MissingError:
            return ""
