"""The trail's rows. The database itself refuses to change or remove them, and takes only the next link of the chain."""

from __future__ import annotations

from sqlalchemy import DDL, Index, Integer, String, Text, event
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class AuditRow(Base):
    """One record. `record` is the truth; the columns after it repeat it for searching and are checked against it."""

    __tablename__ = "audit_records"
    __table_args__ = (Index("audit_by_actor", "actor", "seq"), Index("audit_by_actor_name", "actor_name", "seq"),
                      Index("audit_by_action", "action", "seq"), Index("audit_by_resource", "resource", "seq"))
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str] = mapped_column(String(64))
    record: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(64))
    actor_name: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(64))
    resource: Mapped[str] = mapped_column(String(300))
    outcome: Mapped[str] = mapped_column(String(16))
    project: Mapped[str] = mapped_column(String(64))


class CheckpointRow(Base):
    """A signed statement that the chain had this record at this time."""

    __tablename__ = "audit_checkpoints"
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    checkpoint: Mapped[str] = mapped_column(Text)


def _immutable(table: str) -> dict[str, str]:
    return {f"{table}_no_{verb.lower()}":
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END" for verb in ("UPDATE", "DELETE")}


# Without the first condition, INSERT OR REPLACE would get round the trigger that forbids deleting.
_NEXT_ONLY = """CREATE TRIGGER audit_records_next_only BEFORE INSERT ON audit_records
WHEN NEW.seq != (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit_records)
  OR NEW.previous != COALESCE((SELECT hash FROM audit_records ORDER BY seq DESC LIMIT 1), printf('%.64c', '0'))
BEGIN SELECT RAISE(ABORT, 'only the next record can be added to the audit trail'); END"""

_NEW_CHECKPOINT_ONLY = """CREATE TRIGGER audit_checkpoints_new_only BEFORE INSERT ON audit_checkpoints
WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END"""

TRIGGERS = {**_immutable("audit_records"), **_immutable("audit_checkpoints"),
            "audit_records_next_only": _NEXT_ONLY, "audit_checkpoints_new_only": _NEW_CHECKPOINT_ONLY}
"""Name -> statement, for SQLite. The migrations make them from `table.info["sqlite_triggers"]`."""

for _model in (AuditRow, CheckpointRow):
    _table = _model.metadata.tables[_model.__tablename__]
    _table.info["sqlite_triggers"] = [sql for _, sql in sorted(TRIGGERS.items()) if f" ON {_table.name}" in sql]
    for _sql in _table.info["sqlite_triggers"]:
        _ddl = DDL(_sql.replace("%", "%%"))  # type: ignore[no-untyped-call]
        event.listen(_table, "after_create", _ddl.execute_if(dialect="sqlite"))
