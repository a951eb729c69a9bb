"""A copy of the database as it was at one moment, readable by its descriptor alone."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from ringfence.backup.references import Place, references
from ringfence.storage.database import Database

_NAME = "snapshot-"


def take(database: Database, folder: Path) -> tuple[BinaryIO, dict[Place, str]]:
    """Return the copy, opened for reading and without a name, and the objects that it refers to.

    Writers go on meanwhile. Only while the copy is written does it have a name in `folder` (mode 0700), under a lock
    that dies with this process: see `sweep`.

    Raises:
        UnavailableError: the disk is full, or the database is no SQLite file.
    """
    path = folder / f"{_NAME}{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    file = os.fdopen(descriptor, "rb")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        database.copy_to(path)
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as copy:
            return file, references(copy.execute)
    except BaseException:
        file.close()
        raise
    finally:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Remove what killed processes left of copies; return how many there were. Copies at work are not disturbed."""
    return sum(_abandoned(path) for path in folder.glob(f"{_NAME}*"))


def _abandoned(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        return True
    except (BlockingIOError, FileNotFoundError):
        return False
