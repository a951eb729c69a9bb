"""The projects' own rules. Rows are only added."""

from __future__ import annotations

from sqlalchemy import Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class PolicyRow(Base):
    """One module of `ringfence.project.PACKAGE`."""

    __tablename__ = "policies"
    __table_args__ = (UniqueConstraint("project", "name"), UniqueConstraint("package"))
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    package: Mapped[str] = mapped_column(String(64))
    rego: Mapped[str] = mapped_column(Text)
    added_by: Mapped[str] = mapped_column(String(200))
    added_at: Mapped[str] = mapped_column(String(40))
