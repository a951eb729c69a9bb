"""The verbs on a project's own rules, and where the engine reads them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, or_, select

from ringfence.errors import ConflictError
from ringfence.storage.database import Database
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate
from ringfence.trust.policy.module import ProjectPolicy, check
from ringfence.trust.policy.tables import PolicyRow


@dataclass(frozen=True)
class PolicyView:
    """One project policy as it is shown."""

    name: str
    package: str
    digest: str
    added_by: str
    added_at: str
    rego: str


class StoredPolicies:
    """The engine's `extra`: every project's modules, read again only when one was added."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read: tuple[int, tuple[ProjectPolicy, ...]] = (0, ())

    def __call__(self) -> tuple[ProjectPolicy, ...]:
        """Return the modules as they are now."""
        with self._database.reading() as session:
            latest = session.scalar(select(func.max(PolicyRow.number))) or 0
            if latest != self._read[0]:
                rows = session.scalars(select(PolicyRow).order_by(PolicyRow.number))
                policies = tuple(ProjectPolicy(row.name, row.project, row.package, row.rego) for row in rows)
                self._read = (latest, policies)
            return self._read[1]


class PolicyService:
    """Add and list a project's own rules."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def add(self, actor: Actor, name: str, rego: str) -> PolicyView:
        """Add a module; it denies from the next decision on, in every process.

        Raises:
            InvalidError: it is no Rego, or does more than deny.
            ConflictError: the name or the package is taken.
        """
        with self._gate.act(actor, Action.POLICY_ADD, Resource("policy", name[:80], actor.project)) as permit:
            policy = check(name, actor.project, rego)
            same = or_((PolicyRow.project == policy.project) & (PolicyRow.name == name),
                       PolicyRow.package == policy.package)
            if permit.session.scalars(select(PolicyRow).where(same)).first():
                raise ConflictError("policy.exists", f"There is a policy {name}, or a package {policy.package}.",
                                    fix="Choose another name and package.", field="name", value=name)
            row = PolicyRow(project=policy.project, name=name, package=policy.package, rego=rego, added_by=actor.name,
                            added_at=datetime.now(UTC).isoformat())
            permit.session.add(row)
            view = _view(row)
            permit.record(package=policy.package, digest=view.digest)
            return view

    def list(self, actor: Actor) -> list[PolicyView]:
        """Return the modules of the actor's project, oldest first."""
        with self._gate.read(actor, Action.POLICY_LIST, Resource("policy", "*", actor.project)) as session:
            rows = select(PolicyRow).where(PolicyRow.project == actor.project).order_by(PolicyRow.number)
            return [_view(row) for row in session.scalars(rows)]


def _view(row: PolicyRow) -> PolicyView:
    digest = f"sha256:{hashlib.sha256(row.rego.encode()).hexdigest()}"
    return PolicyView(row.name, row.package, digest, row.added_by, row.added_at, row.rego)
