"""The database: SQLite in WAL mode by default; one writer at a time, every acknowledged commit durable."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import DDL, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from ringfence.errors import UnavailableError

LEAST_ROOM = 256 << 10  # bytes: a few transactions


class Base(DeclarativeBase):
    """The base of every domain's tables. Rows of other domains are named by id only."""


_guards: dict[str, tuple[str, ...]] = {}


def guard(table: str, *triggers: str) -> None:
    """Have these triggers (a line of SQL each) made with the table on SQLite, by `create_all` and by the migrations."""
    _guards[table] = triggers
    for statement in triggers:
        ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
        event.listen(Base.metadata.tables[table], "after_create", ddl.execute_if(dialect="sqlite"))


def guards_of(table: str) -> tuple[str, ...]:
    """Return the triggers of `guard`."""
    return _guards.get(table, ())


class Database:
    """Transactions on one database URL. Safe for use by many threads and processes."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a writing transaction: committed (durably) at the end of the block, rolled back if it raises.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE), so what the block read still holds when
        it writes.

        Raises:
            UnavailableError: the disk is full, or the database can't be reached or locked.
        """
        with _translated(), self._sessions() as session, session.begin():
            session.connection(execution_options={"writes": True})
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only snapshot for the block.

        Raises:
            UnavailableError: as `transaction`.
        """
        with _translated(), self._sessions() as session:
            yield session

    def require_room(self) -> None:
        """Refuse to go on where the disk of a SQLite file has no room for what comes next.

        For those who wait for another's write, which would otherwise be in vain and without a reason.

        Raises:
            UnavailableError: the disk is full.
        """
        path = self.engine.url.database
        if self.engine.dialect.name != "sqlite" or not path or path == ":memory:":
            return
        disk = os.statvfs(Path(path).parent)
        blocks = disk.f_bavail if os.geteuid() else disk.f_bfree
        if blocks * disk.f_frsize < LEAST_ROOM:
            raise disk_full()

    def copy_to(self, path: Path) -> None:
        """Write the database, as it is at one moment, into an empty SQLite file; others read and write meanwhile.

        Raises:
            UnavailableError: the disk is full, or this is no SQLite database.
        """
        if self.engine.dialect.name != "sqlite":
            raise UnavailableError("storage.not_sqlite", f"A {self.engine.dialect.name} database is not copied by the "
                                   "platform.", fix="Back it up with its own tools, such as pg_dump.")
        try:
            with closing(self.engine.raw_connection()) as connection:
                connection.cursor().execute("VACUUM INTO ?", (str(path),))
        except sqlite3.OperationalError as error:
            raise _unusable(error) from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise _unusable(error.orig) from error


def _unusable(error: object) -> UnavailableError:
    if "full" in str(error):
        return disk_full()
    return UnavailableError("storage.database", f"The database can't be used: {error}.",
                            fix="Check its disk and permissions with `ringfence doctor`.")


def disk_full() -> UnavailableError:
    """Return the error that says so."""
    return UnavailableError("storage.disk_full", "The disk that holds the database is full.",
                            fix="Free some space and run it again; nothing was half-written.")


def _engine(url: str) -> Engine:
    # Parameters stay out of the errors, and so out of the logs: a password's hash is one.
    if not url.startswith("sqlite"):
        return create_engine(url, isolation_level="SERIALIZABLE", hide_parameters=True)
    # No bound on connections: one that waits for the write lock must not starve a reader that its holder waits for.
    engine = create_engine(url, connect_args={"timeout": 30.0}, pool_size=8, max_overflow=-1, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
