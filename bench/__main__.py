"""`python -m bench [NAME]`: run one family of claims, or all of them, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NO_CLAIMS = ("__main__", "__init__", "harness")


def main(wanted: list[str]) -> int:
    """Run them; return the worst exit status."""
    known = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in NO_CLAIMS)
    unknown = set(wanted) - set(known)
    if unknown:
        print(f"There is no bench {', '.join(sorted(unknown))}; there are: {', '.join(known)}.", file=sys.stderr)
        return 2
    return max(subprocess.run([sys.executable, FOLDER / f"{name}.py"], check=False).returncode
               for name in wanted or known)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
