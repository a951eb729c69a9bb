"""A platform with released data, its backups, and a process that halts half-way through one and waits to be killed.

    python -m tests.backups HOME POINT [FILE KEY TARGET]
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.app import recovery
from ringfence.backup import recovery as recovering
from ringfence.backup.domain import RecoveryKey, Report
from ringfence.backup.recovery import Recovery
from ringfence.backup.service import BackupService
from ringfence.sandbox.sandbox import Sandbox
from ringfence.storage.database import Database
from tests.data_platform import DataPlatform, actor
from tests.fences import sandbox

ENGINEER = actor("ada", "platform_engineer")
DECLARATION = """
kind: Dataset
name: stays
purpose: care
residency: on-premises
subject: mrn
trajectory: {episode: visit}
anonymity: {k: 2, quasi_identifiers: [region], max_suppressed_share: 0.2}
columns:
  mrn: {action: pseudonymise, as: subject}
  visit: {action: pseudonymise, as: stay}
  region: keep
  state: {action: keep, type: integer}
"""
STAYS = b"mrn,visit,region,state\n" + b"".join(b"M%04d,V%04d,north,%d\n" % (n, n, n % 7) for n in range(24))

# Where a process can be killed: (owner, name, halt before it or after it).
CREATING: dict[str, tuple[Any, str, bool]] = {
    "the database copied, still with a name": (Database, "copy_to", False),
    "the database sent, the objects not": (BackupService, "_files", False)}
VERIFYING: dict[str, tuple[Any, str, bool]] = {"half verified": (Recovery, "_checked", True)}
RESTORING: dict[str, tuple[Any, str, bool]] = {
    "nothing unpacked": (recovering, "_write", True),
    "one file unpacked": (recovering, "_write", False),
    "all unpacked, nothing checked": (Recovery, "_checked", True),
    "all checked, not in place": (recovering, "_sync_folders", False)}


@dataclass(frozen=True)
class Made:
    """A platform with one dataset version, and a backup of it."""

    platform: DataPlatform
    file: Path
    key: RecoveryKey


def backups(platform: DataPlatform) -> BackupService:
    """Return what makes backups of a platform in HOME/platform."""
    scratch = platform.folder / "run"
    scratch.mkdir(mode=0o700, exist_ok=True)
    return BackupService(platform.gate, platform.database, platform.blobs, platform.folder.parent, scratch)


def platform_in(home: Path, fences: Sandbox) -> DataPlatform:
    """Return the platform of a home, new or restored."""
    (home / "platform").mkdir(mode=0o700, parents=True, exist_ok=True)
    return DataPlatform(home / "platform", fences)


def backed_up(platform: DataPlatform, file: Path) -> RecoveryKey:
    """Write a backup."""
    key = RecoveryKey.new()
    file.write_bytes(b"".join(backups(platform).create(ENGINEER, key.text())))
    return key


def verified(file: Path, key: RecoveryKey) -> Report:
    """Verify a backup as a user does."""
    return recovery().verify(file, key.text())


def halt_at(owner: Any, name: str, before: bool) -> None:
    """Make a function halt this process the first time."""
    real: Callable[..., Any] = getattr(owner, name)

    def halting(*arguments: Any, **named: Any) -> Any:
        if not before:
            real(*arguments, **named)
        sys.stdout.write("halted\n")
        sys.stdout.flush()
        signal.pause()

    setattr(owner, name, halting)


def main(home: Path, point: str, rest: list[str]) -> None:
    """Work until the point is reached."""
    if point in CREATING:
        halt_at(*CREATING[point])
        with sandbox(home / "fences") as fences:
            parts: Iterator[bytes] = backups(platform_in(home, fences)).create(ENGINEER, RecoveryKey.new().text())
            for _ in parts:
                pass
    halt_at(*{**RESTORING, **VERIFYING}[point])
    file, key, target = rest
    if point in VERIFYING:
        recovery().verify(Path(file), key)
    recovery().restore(Path(file), key, Path(target))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
