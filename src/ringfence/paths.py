"""Where things are by default. Only the standard library, so that a command line may ask in no time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DEFAULT_PORT = 8443


def default_home() -> Path:
    """Return `RINGFENCE_HOME`, or `~/.ringfence`."""
    return Path(os.environ.get("RINGFENCE_HOME") or Path.home() / ".ringfence").expanduser().absolute()


def default_environments() -> Path:
    """Return `envs` beside the interpreter's own `bin`: one Python environment per kind of workload."""
    return Path(os.environ.get("RINGFENCE_ENVIRONMENTS") or Path(sys.prefix) / "envs")


def default_policies() -> Path:
    """Return the folder of shipped rules: the packaged copy, or the checkout's."""
    packaged = Path(__file__).parent / "policies"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "policies"


def environment_names(folder: Path) -> tuple[str, ...]:
    """Return the environments that this version knows (`base`, `sb3`), and any others in the folder."""
    found = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    return tuple(dict.fromkeys(("base", "sb3", *sorted(found))))
