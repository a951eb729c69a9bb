"""The trust core on a temporary home: the real gate, rules, trail, keys and identity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ringfence.storage.database import Base, Database
from ringfence.trust.audit.service import AuditService
from ringfence.trust.audit.trail import AuditTrail
from ringfence.trust.domain import Actor
from ringfence.trust.gate import Gate
from ringfence.trust.identity.service import IdentityService
from ringfence.trust.keys.keys_file import FileKeys
from ringfence.trust.policy.engine_embedded import EmbeddedEngine
from ringfence.trust.policy.service import PolicyService, StoredPolicies

POLICIES = Path(__file__).resolve().parents[1] / "policies"
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Trusted:
    """Everything, wired as `ringfence.app` wires it."""

    home: Path
    database: Database
    keys: FileKeys
    trail: AuditTrail
    gate: Gate
    identity: IdentityService
    audit: AuditService
    policies: PolicyService

    def administrator(self) -> Actor:
        """Return the first account, made with the bootstrap token."""
        token = self.identity.ensure_bootstrap_token().read_text().strip()
        return self.identity.bootstrap(token, "ada", PASSWORD)

    def person(self, administrator: Actor, name: str, *roles: str) -> Actor:
        """Return a new person's actor, logged in."""
        self.identity.create_account(administrator, name=name, kind="person", roles=roles, password=PASSWORD)
        return self.identity.login(name, PASSWORD, "192.0.2.1").actor

    def records(self) -> list[dict]:
        """Return every record of the trail."""
        with self.database.reading() as session:
            return [dict(record.record) for record in self.trail.search(session, after=0, limit=1000)]

    def export(self) -> list[str]:
        """Return the lines of an export that is not itself recorded."""
        with self.database.reading() as session:
            return list(self.trail.export_lines(session))


@contextmanager
def trusted(home: Path) -> Iterator[Trusted]:
    """Wire everything on `home`; its tables are made if they are not there."""
    keys = FileKeys(home / "keys")
    database = Database(f"sqlite:///{home / 'ringfence.db'}")
    Base.metadata.create_all(database.engine)
    trail = AuditTrail(keys)
    gate = Gate(database, EmbeddedEngine(POLICIES, StoredPolicies(database)), trail)
    yield Trusted(home, database, keys, trail, gate, IdentityService(database, gate, keys, home),
                  AuditService(gate, trail), PolicyService(gate))
    database.close()
