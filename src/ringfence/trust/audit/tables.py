"""The trail's rows. The database itself refuses to change or remove them, and takes only the next link of the chain."""

from __future__ import annotations

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base, guard


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


_NOT_NEXT = ("NEW.seq != (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit_records) OR NEW.previous != "
             "COALESCE((SELECT hash FROM audit_records ORDER BY seq DESC LIMIT 1), printf('%.64c', '0'))")
_NOT_NEW = "EXISTS (SELECT 1 FROM audit_checkpoints WHERE seq = NEW.seq)"


def _triggers(table: str, not_to_insert: str) -> dict[str, str]:
    """Without a condition on inserting, INSERT OR REPLACE would get round the trigger that forbids deleting."""
    refused = {"update": f"UPDATE ON {table}", "delete": f"DELETE ON {table}",
               "insert": f"INSERT ON {table} WHEN {not_to_insert}"}
    return {f"{table}_no_{verb}": f"CREATE TRIGGER {table}_no_{verb} BEFORE {what} "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END" for verb, what in refused.items()}


_RECORDS, _CHECKPOINTS = _triggers("audit_records", _NOT_NEXT), _triggers("audit_checkpoints", _NOT_NEW)
TRIGGERS = {**_RECORDS, **_CHECKPOINTS}
"""Name -> statement: what protects the trail in SQLite."""

guard(AuditRow.__tablename__, *_RECORDS.values())
guard(CheckpointRow.__tablename__, *_CHECKPOINTS.values())
