"""Transactions: one writer at a time, all or nothing, no starvation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ringfence.errors import UnavailableError
from ringfence.storage.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with made.transaction() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
        session.execute(text("INSERT INTO t VALUES (0)"))
    yield made
    made.close()


def number(database: Database) -> int:
    with database.reading() as session:
        return int(session.execute(text("SELECT n FROM t")).scalar_one())


def test_the_database_is_durable_and_in_wal_mode(database: Database) -> None:
    with database.reading() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(text("PRAGMA synchronous")).scalar() == 2
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_what_raises_is_rolled_back(database: Database) -> None:
    block = database.transaction()
    block.__enter__().execute(text("UPDATE t SET n = 7"))
    block.__exit__(RuntimeError, RuntimeError(), None)
    assert number(database) == 0


def test_no_update_is_lost_between_reading_and_writing(database: Database) -> None:
    def count() -> None:
        for _ in range(20):
            with database.transaction() as session:
                found = int(session.execute(text("SELECT n FROM t")).scalar_one())
                session.execute(text("UPDATE t SET n = :n"), {"n": found + 1})

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert number(database) == 160


def test_a_snapshot_does_not_see_what_comes_later(database: Database) -> None:
    with database.reading() as session:
        assert session.execute(text("SELECT n FROM t")).scalar() == 0
        with database.transaction() as other:
            other.execute(text("UPDATE t SET n = 5"))
        assert session.execute(text("SELECT n FROM t")).scalar() == 0
    assert number(database) == 5


def test_many_writers_that_also_read_do_not_starve_each_other(database: Database) -> None:
    """Each holds the write lock and opens a second connection, as the gate does when policy reads its rules."""
    def work() -> None:
        with database.transaction() as session, database.reading() as reading:
            reading.execute(text("SELECT n FROM t"))
            session.execute(text("UPDATE t SET n = n + 1"))

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert number(database) == 40


def test_a_database_that_can_not_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as refused, Database(f"sqlite:///{tmp_path / 'no' / 'x.db'}").transaction():
        pytest.fail("there is no such folder")
    assert refused.value.code == "storage.database" and refused.value.fix


def test_a_full_disk_is_a_clear_error(database: Database) -> None:
    with database.reading() as session:
        pages = int(session.execute(text("PRAGMA page_count")).scalar_one())
    block = database.transaction()
    session = block.__enter__()
    session.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
    with pytest.raises(UnavailableError) as refused:
        fill(block, session)
    assert refused.value.code == "storage.disk_full"
    assert number(database) == 0


def fill(block: object, session: object) -> None:
    try:
        session.execute(text("INSERT INTO t SELECT randomblob(100000)"))  # type: ignore[attr-defined]
    except Exception as error:
        block.__exit__(type(error), error, None)  # type: ignore[attr-defined]
        raise


def test_an_error_does_not_quote_what_was_to_be_written(database: Database) -> None:
    """Such an error ends up in a log, with its trace."""
    with database.transaction() as session:
        session.execute(text("CREATE TABLE secrets (hash TEXT UNIQUE)"))
        session.execute(text("INSERT INTO secrets VALUES (:hash)"), {"hash": "argon2id-of-ada"})
    with pytest.raises(IntegrityError) as failed, database.transaction() as session:
        session.execute(text("INSERT INTO secrets VALUES (:hash)"), {"hash": "argon2id-of-ada"})
    assert "argon2id-of-ada" not in str(failed.value)
