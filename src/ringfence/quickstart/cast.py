"""The people and service accounts of the story: real accounts with random passwords, each logged in as itself."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.client import Client
from ringfence.quickstart.journal import write_private

PEOPLE: dict[str, tuple[str, ...]] = {
    "olga.officer": ("security_officer",),
    "stella.steward": ("data_steward",),
    "dan.scientist": ("data_scientist",),
    "mia.mlops": ("mlops_engineer",),
    "explorer": ("viewer", "auditor"),
}
SERVICES: dict[str, tuple[str, ...]] = {
    "landing-writer": ("ingest_writer",),
    "bedside-monitor": ("endpoint_caller",),
}
ADMINISTRATOR = "ada.admin"
OFFICER, STEWARD, SCIENTIST, MLOPS, EXPLORER = PEOPLE
WRITER, CALLER = SERVICES


@dataclass
class Cast:
    """Passwords and keys (a file of mode 0600, removed when the story ends) and logged-in clients."""

    url: str
    authority: Path
    secrets_file: Path
    _clients: dict[str, Client] = field(default_factory=dict)

    def secret(self, name: str) -> str:
        """Return the stored secret of `name`, or an empty string."""
        return str(self._stored().get(name, ""))

    def keep(self, name: str, secret: str) -> str:
        """Store a secret durably before it is used; return it."""
        write_private(self.secrets_file, json.dumps({**self._stored(), name: secret}).encode())
        return secret

    def password(self, name: str) -> str:
        """Return the password of `name`, made up and stored at the first call."""
        return self.secret(name) or self.keep(name, secrets.token_urlsafe(24))

    def acting_as(self, name: str) -> Client:
        """Return a client that is logged in as `name` with its own password, or holds its own key."""
        if name not in self._clients:
            self._clients[name] = self._log_in(name)
        return self._clients[name]

    def anonymous(self) -> Client:
        """Return a client without any credential."""
        return Client(self.url, ca=self.authority)

    def create_accounts(self) -> None:
        """Let the administrator create everyone; what exists already stays as it is."""
        administrator = self.acting_as(ADMINISTRATOR)
        there = {account["name"] for account in administrator.accounts()}
        for name, roles in PEOPLE.items():
            if name not in there:
                administrator.create_account(name, roles=roles, password=self.password(name), person=name)
        for name, roles in SERVICES.items():
            if name not in there:
                administrator.create_account(name, kind="service", roles=roles)

    def close(self) -> None:
        """Close every client."""
        for client in self._clients.values():
            client.close()

    def _log_in(self, name: str) -> Client:
        if name in SERVICES:
            return Client(self.url, ca=self.authority, token=self.secret(name))
        client = self.anonymous()
        client.login(name, self.password(name))
        return client

    def _stored(self) -> dict[str, Any]:
        if not self.secrets_file.exists():
            return {}
        stored: dict[str, Any] = json.loads(self.secrets_file.read_text())
        return stored
