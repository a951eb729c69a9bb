"""The command line as a user runs it: a process, an empty home, nothing inherited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RINGFENCE = str(Path(sys.executable).with_name("ringfence"))
# Small enough for a test, large enough that the offline agent's interval lies above the clinicians'.
SMALL = ("--stays", "6000", "--online-steps", "65536", "--episodes", "40000")


@dataclass(frozen=True)
class Home:
    """One RINGFENCE_HOME."""

    path: Path

    def environment(self) -> dict[str, str]:
        self.temporary.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**kept, "RINGFENCE_HOME": str(self.path), "HOME": str(self.path.parent), "TMPDIR": str(self.temporary)}

    @property
    def temporary(self) -> Path:
        """The folder of temporary files of everything that runs in this home."""
        return self.path.parent / "tmp"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([RINGFENCE, *arguments], env=self.environment(), text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def run(self, *arguments: str, stdin: str = "", timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run([RINGFENCE, *arguments], env=self.environment(), text=True, input=stdin,
                              capture_output=True, check=False, timeout=timeout)

    def json(self, *arguments: str, stdin: str = "") -> Any:
        finished = self.run(*arguments, "--json", stdin=stdin)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    def down(self) -> None:
        self.run("down")
