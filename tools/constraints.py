"""Write constraints.txt: the exact version of every package in .venv and its workload environments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """# Exact versions of every package that Ringfence installs, in .venv and its workload environments.
# Made by `make constraints` from what is installed; `make test` passed with these.
"""


def frozen(python: Path) -> dict[str, str]:
    """Return name -> version of one environment, local version labels (`+cpu`) removed."""
    listing = subprocess.run([python, "-m", "pip", "freeze", "--exclude-editable"], capture_output=True, text=True,
                             check=True).stdout
    pairs = (line.split("==") for line in listing.splitlines() if "==" in line)
    return {name.lower().replace("_", "-"): version.partition("+")[0] for name, version in pairs}


def main() -> int:
    """Merge all environments; fail where two of them hold different versions of one package."""
    pins: dict[str, str] = {}
    for python in (ROOT / ".venv/bin/python", *sorted((ROOT / ".venv/envs").glob("*/bin/python"))):
        for name, version in frozen(python).items():
            if pins.setdefault(name, version) != version:
                print(f"{name} is {pins[name]} in one environment and {version} in {python}", file=sys.stderr)
                return 1
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    (ROOT / "constraints.txt").write_text(HEADER + "".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
