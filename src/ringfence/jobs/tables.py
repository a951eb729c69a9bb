"""The queue's one table. Times are seconds since the epoch."""

from __future__ import annotations

from sqlalchemy import Float, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class JobRow(Base):
    """One job. `worker` and `lease_until` are set only while it runs."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_by_state", "state", "submitted_at"),
        # Submitting the same thing twice is one job, until that job has failed.
        Index("jobs_one_per_key", "project", "key", unique=True,
              sqlite_where=text("state != 'failed'"), postgresql_where=text("state != 'failed'")),
    )
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    project: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(200))
    payload: Mapped[str] = mapped_column(Text)
    submitted_by: Mapped[str] = mapped_column(String(64))
    submitted_at: Mapped[float] = mapped_column(Float)
    finished_at: Mapped[float | None] = mapped_column(Float, default=None)
    share: Mapped[float] = mapped_column(Float, default=0.0)
    text: Mapped[str] = mapped_column(String(400), default="")
    result: Mapped[str | None] = mapped_column(Text, default=None)
    error: Mapped[str | None] = mapped_column(Text, default=None)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None] = mapped_column(String(120), default=None)
    lease_until: Mapped[float | None] = mapped_column(Float, default=None)
