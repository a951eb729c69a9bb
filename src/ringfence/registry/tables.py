"""The registry's rows. A version's row is never changed but for its stage."""

from __future__ import annotations

from sqlalchemy import Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class ModelRow(Base):
    """One model version. JSON columns hold what the package holds; the package itself is a blob named by the run."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("project", "name", "version"),)
    run: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(String(80))
    size: Mapped[int] = mapped_column(Integer)
    stage: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(20))
    observation_space: Mapped[str] = mapped_column(Text)
    action_space: Mapped[str] = mapped_column(Text)
    evaluation: Mapped[str] = mapped_column(Text)
    provenance: Mapped[str] = mapped_column(Text)
    trained_by: Mapped[str] = mapped_column(String(120))
    registered_at: Mapped[str] = mapped_column(String(40))


class PromotionRow(Base):
    """One request to promote a version. `*_person` name the humans behind the accounts."""

    __tablename__ = "model_promotions"
    __table_args__ = (
        Index("model_promotions_one_open", "run", "stage", unique=True, sqlite_where=text("state = 'requested'"),
              postgresql_where=text("state = 'requested'")),
    )
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    run: Mapped[str] = mapped_column(String(40))
    project: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(80))
    stage: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(400))
    requested_by: Mapped[str] = mapped_column(String(120))
    requested_person: Mapped[str] = mapped_column(String(120))
    requested_at: Mapped[str] = mapped_column(String(40))
    approved_by: Mapped[str] = mapped_column(String(120), default="")
    approved_person: Mapped[str] = mapped_column(String(120), default="")
    approval: Mapped[str] = mapped_column(String(400), default="")
    approved_at: Mapped[str] = mapped_column(String(40), default="")
