from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from tests import fences


@pytest.fixture(scope="session")
def fence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BubblewrapSandbox]:
    with fences.sandbox(tmp_path_factory.mktemp("state")) as opened:
        yield opened


@pytest.fixture(scope="session")
def places() -> Iterator[dict[str, object]]:
    """Live things of the host: listeners, a file only its owner reads, a process."""
    name = f"ringfence-attack-{secrets.token_hex(4)}"
    secret = Path("/var/tmp", name)
    secret.touch(0o600)
    secret.write_text("the platform's key")
    process = subprocess.Popen(["sleep", "600"], env={"SECRET": "in the environment"})
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{name}")
        unix.listen()
        yield {"PORT": tcp.getsockname()[1], "ABSTRACT": name, "SECRET": str(secret), "PID": process.pid}
    process.kill()
    process.wait()
    secret.unlink()


@pytest.fixture(scope="session")
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: shows what root could do outside")
