"""The verbs on the trail. Each is itself a record in it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from ringfence.errors import TamperedError
from ringfence.trust.audit.chain import ChainReport, verify_export
from ringfence.trust.audit.trail import AuditRecord, AuditTrail
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate


def verify_stored(trail: AuditTrail, session: Session) -> ChainReport:
    """Verify the trail in the session's snapshot, and that the database still protects it."""
    try:
        report = verify_export(trail.export_lines(session), trail.public_key())
    except TamperedError as error:
        return ChainReport(False, 0, None, error.message)
    guards = trail.missing_guards(session)
    if report.valid and guards:
        return ChainReport(False, report.records, None,
                           f"The database no longer protects the trail: {', '.join(guards)} is missing or changed.")
    return report


class AuditService:
    """Search, export and verify the trail."""

    def __init__(self, gate: Gate, trail: AuditTrail) -> None:
        self._gate, self._trail = gate, trail

    def search(self, actor: Actor, *, by: str | None = None, action: str | None = None, resource: str | None = None,
               outcome: str | None = None, after: int | None = None, limit: int = 100) -> list[AuditRecord]:
        """Return records of the actor's project, the newest first or those that follow `after`: see
        `AuditTrail.search`; `by` is who acted."""
        context = {"by": by, "action": action, "resource": resource, "outcome": outcome}
        with self._gate.read(actor, Action.AUDIT_SEARCH, self._resource(actor), context) as session:
            return self._trail.search(session, actor=by, action=action, resource=resource, outcome=outcome,
                                      project=actor.project, after=after, limit=limit)

    def export(self, actor: Actor) -> Iterator[str]:
        """Return the lines of an export, without newlines; decided and recorded before this returns."""
        with self._gate.read(actor, Action.AUDIT_EXPORT, self._resource(actor)):
            return self._lines()

    def verify(self, actor: Actor) -> ChainReport:
        """Verify the whole trail in the database, its guards included."""
        with self._gate.read(actor, Action.AUDIT_VERIFY, self._resource(actor)) as session:
            return verify_stored(self._trail, session)

    def public_key(self) -> bytes:
        """Return the PEM that verifies exports. It is no secret; keep it where the platform can't change it."""
        return self._trail.public_key()

    def _lines(self) -> Iterator[str]:
        with self._gate.database.reading() as session:
            yield from self._trail.export_lines(session)

    def _resource(self, actor: Actor) -> Resource:
        return Resource("audit", "trail", actor.project)
