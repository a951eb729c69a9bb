"""Each how-to is run as a reader would: its `console` blocks, in order, in one shell and an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ringfence_command import Home

ROOT = Path(__file__).resolve().parents[2]
HOWTOS = sorted((ROOT / "docs" / "howto").glob("*.md"))
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```\w+ title=(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", HOWTOS, ids=lambda page: page.stem)
def test_howto(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    for name, content in FILE.findall(text):
        (tmp_path / name).write_text(content)
    script = "set -euo pipefail\n" + "\n".join(BLOCK.findall(text))
    home = Home(tmp_path / "home")
    environment = {**home.environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    try:
        finished = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True,
                                  text=True, check=False, timeout=300)
        assert finished.returncode == 0, f"{finished.stdout[-3000:]}\n{finished.stderr[-3000:]}"
    finally:
        home.down()
