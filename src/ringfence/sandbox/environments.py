"""Workload environments: the interpreter and packages that a fence mounts read-only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ringfence.errors import UnavailableError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Environment:
    """One virtual environment: its real interpreter, that interpreter's prefix, and its packages."""

    name: str
    executable: Path
    packages: Path

    @property
    def prefix(self) -> Path:
        """The interpreter's installation (`/usr`, `/usr/local`, a folder of pyenv)."""
        return self.executable.parent.parent

    @property
    def version(self) -> str:
        """`python3.11`."""
        return self.packages.parent.name


def find(environments: Path, name: str) -> Environment:
    """Return the environment `name` under `environments`.

    Raises:
        UnavailableError: it is not installed, or broken; the fix says how to install it.
    """
    folder = environments / name
    packages = sorted(folder.glob("lib/python3.*/site-packages")) if _NAME.fullmatch(name) else []
    if len(packages) != 1 or not (folder / "bin/python").exists():
        raise UnavailableError("sandbox.environment_missing", f"The workload environment {name!r} is not installed.",
                               field="environment", value=name,
                               fix=f"Install it: python3 -m venv {folder} && "
                                   f"{folder}/bin/pip install -r environments/{name}.txt (or: make install)")
    return Environment(name, (folder / "bin/python").resolve(), packages[0].resolve())
