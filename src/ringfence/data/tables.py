"""The datasets' rows. They hold names, digests, forms and figures, never a value of the data."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class DatasetRow(Base):
    """One dataset. `landing` names the raw object in the landing zone that is current; empty before the first."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("project", "name"),)
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    declaration: Mapped[str] = mapped_column(Text)  # the steward's YAML
    declared_by: Mapped[str] = mapped_column(String(64))
    declared_at: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16))
    refusal: Mapped[str] = mapped_column(Text, default="")
    landing: Mapped[str] = mapped_column(String(80), default="")


class LandingRow(Base):
    """One raw file that passed parsing; `blob` names its object in the landing zone, gone once another has landed."""

    __tablename__ = "dataset_landings"
    blob: Mapped[str] = mapped_column(String(80), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(40), index=True)
    number: Mapped[int] = mapped_column(Integer)  # counts the dataset's landings from 1
    digest: Mapped[str] = mapped_column(String(80))
    size: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    columns: Mapped[str] = mapped_column(Text)
    findings: Mapped[str | None] = mapped_column(Text, default=None)
    landed_by: Mapped[str] = mapped_column(String(64))
    landed_at: Mapped[str] = mapped_column(String(40))


class VersionRow(Base):
    """One released version, immutable; `blob` names its object in the processing zone."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset", "number"),)
    blob: Mapped[str] = mapped_column(String(80), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(40), index=True)
    number: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(String(80))
    size: Mapped[int] = mapped_column(BigInteger)
    job: Mapped[str] = mapped_column(String(40), unique=True)  # the job that released it
    landing: Mapped[str] = mapped_column(String(80))
    source: Mapped[str] = mapped_column(String(80))  # digest of the raw file
    declaration: Mapped[str] = mapped_column(Text)
    example: Mapped[str] = mapped_column(String(80))  # object in the landing zone: one raw row and what became of it
    measured: Mapped[str] = mapped_column(Text)
    released_by: Mapped[str] = mapped_column(String(64))
    released_at: Mapped[str] = mapped_column(String(40))
