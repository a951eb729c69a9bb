"""Write the next step of the schema from the tables: `.venv/bin/python tools/new_migration.py 0001 "First tables"`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import ringfence.app  # noqa: F401 - imports every domain's tables
from ringfence.storage.database import Base, Database
from ringfence.storage.migrate import new_step, upgrade


def main() -> int:
    """Apply the steps there are to an empty database, and write the one that leads from there to the tables."""
    revision, message = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.db")
        upgrade(database)
        print(new_step(database, Base.metadata, message, revision).relative_to(Path.cwd()))
        database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
