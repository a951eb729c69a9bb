"""Brings a database to the schema that this version of the platform knows, in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command, op
from alembic.autogenerate import api, renderers
from alembic.config import Config
from alembic.operations import MigrateOperation, ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import OperationalError

from ringfence.errors import UnavailableError
from ringfence.storage.database import Database, disk_full, guards_of

_STEPS = Path(__file__).parent / "migrations"


def upgrade(database: Database, target: str = "head") -> None:
    """Take every step that is missing; none if the schema is current. Processes that start together take turns.

    Raises:
        UnavailableError: the schema is one that this version does not know, or the database can't be used.
    """
    with _connection(database) as connection:
        config = _config(connection)
        require_known(connection, ScriptDirectory.from_config(config))
        command.upgrade(config, target)


def downgrade(database: Database, target: str) -> None:
    """Go back to a revision, or to `base`: no tables.

    Raises:
        UnavailableError: as `upgrade`.
    """
    with _connection(database) as connection:
        config = _config(connection)
        require_known(connection, ScriptDirectory.from_config(config))
        command.downgrade(config, target)


def new_step(database: Database, metadata: MetaData, message: str, revision: str) -> Path:
    """Write the step from the database's schema (at its head) to that of the tables; return its file."""
    with _connection(database) as connection:
        config = _config(connection)
        config.attributes.update(metadata=metadata, process_revision_directives=_add_triggers)
        script = command.revision(config, message, autogenerate=True, rev_id=revision)
    if script is None or isinstance(script, list):
        raise RuntimeError("alembic wrote no single script")
    path = Path(script.path)
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "# ###" not in line))
    return path


def differences(database: Database, metadata: MetaData) -> list[Any]:
    """Return what differs between the database's schema and the tables', as alembic names it."""
    with _connection(database) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(api.compare_metadata(context, metadata))


def on_sqlite(statement: str) -> None:
    """Run a statement of a step on SQLite only."""
    if op.get_bind().dialect.name == "sqlite":
        op.get_bind().exec_driver_sql(statement)


def require_known(connection: Connection, steps: ScriptDirectory) -> None:
    """Refuse a schema of a later version, or of something else.

    Raises:
        UnavailableError: the database's revision is not among the steps.
    """
    known = {script.revision for script in steps.walk_revisions()}
    found = MigrationContext.configure(connection).get_current_heads()
    if unknown := sorted(set(found) - known):
        raise UnavailableError("storage.schema_unknown", f"The database has the schema {unknown[0]}, which this "
                               "version does not know.", value=unknown[0],
                               fix="Start the version that made it, or restore a backup of this version.")


@contextmanager
def _connection(database: Database) -> Iterator[Connection]:
    try:
        with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection
    except OperationalError as error:
        if "full" in str(error.orig):
            raise disk_full() from error
        raise UnavailableError("storage.migration", f"The database's schema can't be brought up to date: {error.orig}.",
                               fix="Check its disk and permissions with `ringfence doctor`.") from error


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


class _TriggersOp(MigrateOperation):
    def __init__(self, statements: list[str]) -> None:
        self.statements = statements


@renderers.dispatch_for(_TriggersOp)
def _render(_context: object, operation: _TriggersOp) -> list[str]:
    return [f'on_sqlite("""{statement}""")' for statement in operation.statements]


def _add_triggers(_context: object, _revision: object, directives: list[ops.MigrationScript]) -> None:
    """Autogeneration knows nothing of triggers."""
    for script in directives:
        steps = script.upgrade_ops.ops if script.upgrade_ops else []
        made = [step.table_name for step in steps if isinstance(step, ops.CreateTableOp)]
        if statements := [sql for table in made for sql in guards_of(table)]:
            steps.append(_TriggersOp(statements))
