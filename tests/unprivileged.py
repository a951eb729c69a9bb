"""Runs Python code of the platform's own interpreter as an ordinary user, whoever runs the tests.

As root, the interpreter and the checkout may lie in a closed home folder: both are bound under /mnt, in a mount
namespace of the one process, and the environment is rebuilt there from links.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
UID = 54321
SCRIPT = """
set -e
mount --make-rslave /
mount -t tmpfs -o mode=0755 none /mnt
mkdir /mnt/python /mnt/checkout /mnt/state
mount --bind "$PREFIX" /mnt/python
mount --bind "$CHECKOUT" /mnt/checkout
chown {uid}:{uid} /mnt/state
for name in base sb3; do
  mkdir -p /mnt/environments/$name/bin /mnt/environments/$name/lib/$VERSION
  ln -s /mnt/python/bin/$VERSION /mnt/environments/$name/bin/python
  ln -s /mnt/checkout/.venv/envs/$name/lib/$VERSION/site-packages /mnt/environments/$name/lib/$VERSION/site-packages
done
cd /
exec setpriv --reuid={uid} --regid={uid} --clear-groups env -i PATH=/usr/bin:/bin HOME=/mnt/state \\
  LD_LIBRARY_PATH=/mnt/python/lib PYTHONDONTWRITEBYTECODE=1 \\
  PYTHONPATH=/mnt/checkout/src:/mnt/checkout:/mnt/checkout/.venv/lib/$VERSION/site-packages \\
  ENVIRONMENTS=/mnt/environments STATE=/mnt/state /mnt/python/bin/$VERSION -c "$CODE"
"""


def run(code: str, state: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` as an ordinary user, with ENVIRONMENTS and STATE (an empty folder) in its environment."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if os.geteuid() != 0:
        return _run([sys.executable, "-c", code], {
            "PATH": os.environ["PATH"], "PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}", "STATE": str(state),
            "ENVIRONMENTS": str(CHECKOUT / ".venv/envs")})
    unshare = shutil.which("unshare") or "unshare"
    return _run([unshare, "--mount", "sh", "-c", SCRIPT.format(uid=UID)], {
        "PATH": os.environ["PATH"], "PREFIX": sys.base_prefix, "VERSION": version, "CHECKOUT": str(CHECKOUT),
        "CODE": code})


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
