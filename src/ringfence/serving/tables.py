"""The endpoints' rows."""

from __future__ import annotations

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class EndpointRow(Base):
    """Which model version answers under which name."""

    __tablename__ = "endpoints"
    project: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(80))
    digest: Mapped[str] = mapped_column(String(80))
    observation_space: Mapped[str] = mapped_column(Text)
    action_space: Mapped[str] = mapped_column(Text)
    deployed_by: Mapped[str] = mapped_column(String(120))
    deployed_at: Mapped[str] = mapped_column(String(40))
