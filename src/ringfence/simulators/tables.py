"""The simulator catalogue's rows."""

from __future__ import annotations

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class SimulatorRow(Base):
    """One admitted bundle; `blob` names its object in the `simulators` zone. Never changed but for its state."""

    __tablename__ = "simulators"
    __table_args__ = (UniqueConstraint("project", "name", "version"), UniqueConstraint("project", "digest"))
    blob: Mapped[str] = mapped_column(String(80), primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(80))
    manifest: Mapped[str] = mapped_column(Text)
    signature: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(20))
    admitted_at: Mapped[str] = mapped_column(String(40))
