"""Rows of identity. Times are seconds since the epoch; secrets are stored as hashes only."""

from __future__ import annotations

from sqlalchemy import Float, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.storage.database import Base


class AccountRow(Base):
    """A person's or a service's account. `roles` is a JSON list; `person` the human behind it, folded for comparing."""

    __tablename__ = "accounts"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    project: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    roles: Mapped[str] = mapped_column(Text)
    person: Mapped[str] = mapped_column(String(128), index=True)
    password: Mapped[str] = mapped_column(Text)  # argon2id, in its own notation; empty: can't log in
    created_at: Mapped[float] = mapped_column(Float)
    disabled_at: Mapped[float | None] = mapped_column(Float, default=None)


class KeyRow(Base):
    """An API key: the HMAC of its secret under the pepper."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account: Mapped[str] = mapped_column(String(40), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float] = mapped_column(Float)
    revoked_at: Mapped[float | None] = mapped_column(Float, default=None)


class BootstrapRow(Base):
    """A token for the first account, as an HMAC. At most one is unused."""

    __tablename__ = "bootstrap_tokens"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[float] = mapped_column(Float)
    used_at: Mapped[float | None] = mapped_column(Float, default=None)
