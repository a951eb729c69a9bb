"""The rows of runs and of what they measured."""

from __future__ import annotations

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class RunRow(Base):
    """One run. `trained`, `evaluated` and `model` are the outcomes of its phases, each written once it is final."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    job: Mapped[str] = mapped_column(String(40))
    specification: Mapped[str] = mapped_column(Text)
    spec_digest: Mapped[str] = mapped_column(String(80))
    seed: Mapped[int] = mapped_column(Integer)
    purpose: Mapped[str] = mapped_column(String(200), default="")
    dataset: Mapped[str | None] = mapped_column(Text, default=None)  # {version, digest, columns}
    simulators: Mapped[str] = mapped_column(Text)  # {use: {name, version, digest}}
    submitted_by: Mapped[str] = mapped_column(String(120))
    trained_by: Mapped[str] = mapped_column(String(120))  # the person behind the account
    submitted_at: Mapped[str] = mapped_column(String(40))
    trained: Mapped[str | None] = mapped_column(Text, default=None)
    evaluated: Mapped[str | None] = mapped_column(Text, default=None)
    model: Mapped[str | None] = mapped_column(String(80), default=None)
    error: Mapped[str | None] = mapped_column(Text, default=None)


class MetricRow(Base):
    """What a learner measured at one step: numbers by name."""

    __tablename__ = "run_metrics"
    run: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    step: Mapped[int] = mapped_column(Integer)
    numbers: Mapped[str] = mapped_column(Text)
