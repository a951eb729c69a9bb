"""What a quickstart has finished, on disk: an interrupted one continues here, a completed one starts afresh."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.errors import ConflictError


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` atomically and durably by a file of mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@dataclass
class Journal:
    """Finished stages and remembered facts (never a secret), rewritten whole at each change."""

    path: Path
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Journal:
        """Read the journal, or begin an empty one."""
        if not path.exists():
            return cls(path)
        content = json.loads(path.read_text())
        return cls(path, content["stages"], content["facts"])

    def remember(self, **facts: Any) -> None:
        """Keep facts that later stages, or a later try, need."""
        self.facts.update(facts)
        self._save()

    def spent(self, stage: str, seconds: float) -> None:
        """Add the seconds of a try that did not finish its stage."""
        tried = self.facts.setdefault("interrupted_seconds", {})
        tried[stage] = tried.get(stage, 0.0) + seconds
        self._save()

    def finish(self, stage: str, seconds: float, happened: str, evidence: str) -> None:
        """Record a stage as done, with what the closing table says of it."""
        seconds += self.facts.get("interrupted_seconds", {}).get(stage, 0.0)
        self.stages[stage] = {"seconds": round(seconds, 2), "happened": happened, "evidence": evidence}
        self._save()

    def _save(self) -> None:
        write_private(self.path, json.dumps({"stages": self.stages, "facts": self.facts}, indent=1).encode())


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Hold the home for one quickstart; the kernel lets go of it however this process ends.

    Raises:
        ConflictError: another quickstart runs in this home.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / "quickstart.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError("quickstart.running", f"Another quickstart is running in {home}.",
                                fix="Wait for it to end, or set RINGFENCE_HOME to another folder.",
                                field="RINGFENCE_HOME", value=str(home)) from error
        yield
