"""The schema: every database is brought to the one that the tables say, forward and back, or refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

import ringfence.app  # noqa: F401 - imports every domain's tables
from ringfence.errors import UnavailableError
from ringfence.storage.database import Base, Database
from ringfence.storage.migrate import differences, downgrade, upgrade


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'x.db'}")
    yield made
    made.close()


def schema(database: Database, kind: str) -> dict[str, str]:
    with database.reading() as session:
        rows = session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = :kind"), {"kind": kind})
        return {row.name: " ".join((row.sql or "").split()) for row in rows}


def test_the_migrations_make_what_the_tables_say(database: Database, tmp_path: Path) -> None:
    upgrade(database)
    assert differences(database, Base.metadata) == []
    direct = Database(f"sqlite:///{tmp_path / 'direct.db'}")
    Base.metadata.create_all(direct.engine)
    assert set(schema(database, "table")) == {*schema(direct, "table"), "alembic_version"}
    assert schema(database, "trigger") == schema(direct, "trigger") != {}
    direct.close()


def test_a_current_schema_is_left_alone(database: Database) -> None:
    upgrade(database)
    before = schema(database, "table")
    upgrade(database)
    assert schema(database, "table") == before


def test_back_to_nothing_and_forward_again(database: Database) -> None:
    upgrade(database)
    downgrade(database, "base")
    assert set(schema(database, "table")) == {"alembic_version"} and schema(database, "trigger") == {}
    upgrade(database)
    assert differences(database, Base.metadata) == []


def test_an_unknown_schema_is_refused(database: Database) -> None:
    upgrade(database)
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    for move in (lambda: upgrade(database), lambda: downgrade(database, "base")):
        with pytest.raises(UnavailableError, match="from-the-future") as refused:
            move()
        assert refused.value.code == "storage.schema_unknown"


def test_processes_that_start_together_take_turns(tmp_path: Path) -> None:
    code = ("import sys; from ringfence.storage.database import Database; "
            "from ringfence.storage.migrate import upgrade; sys.stdin.read(1); upgrade(Database(sys.argv[1]))")
    children = [subprocess.Popen([sys.executable, "-c", code, f"sqlite:///{tmp_path / 'x.db'}"], stdin=subprocess.PIPE)
                for _ in range(3)]
    for child in children:
        child.communicate(b"x")
    assert [child.returncode for child in children] == [0, 0, 0]


def test_a_step_that_fails_changes_nothing(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE simulators (name TEXT)"))
    with pytest.raises(UnavailableError, match="can't be brought up to date"):
        upgrade(database)
    assert set(schema(database, "table")) == {"simulators"}
