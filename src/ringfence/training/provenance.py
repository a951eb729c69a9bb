"""Where an agent comes from: code, environments, inputs and fences, by digest."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
from pathlib import Path

import ringfence
import ringfence_workload
from ringfence.sandbox import environments

FORMAT = "ringfence-provenance/1"


def code() -> dict[str, str]:
    """Return the running code's revision and the digest of its sources."""
    folders = [Path(str(package.__file__)).resolve().parent for package in (ringfence, ringfence_workload)]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder.parent)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return {"revision": _revision(folders[0]), "digest": f"sha256:{digest.hexdigest()}"}


def environment(folder: Path, name: str) -> str:
    """Return the digest of a workload environment: its interpreter's version and each package's name and version.

    Raises:
        UnavailableError: the environment is not installed.
    """
    found = environments.find(folder, name)
    packages = sorted(path.name for path in found.packages.glob("*.dist-info"))
    return "sha256:" + hashlib.sha256("\n".join([found.version, *packages]).encode()).hexdigest()


def _revision(source: Path) -> str:
    version = f"ringfence {importlib.metadata.version('ringfence')}"
    git, root = shutil.which("git"), source.parents[1]
    if git is None or not (root / ".git").exists():
        return version
    described = subprocess.run([git, "-C", str(root), "describe", "--always", "--dirty", "--tags", "--abbrev=40"],
                               capture_output=True, text=True, check=False, timeout=30)
    return described.stdout.strip() or version
