"""A supervisor over two small children, whose behaviour the test chooses with files in the home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from ringfence.errors import UnavailableError
from ringfence.supervisor import child
from ringfence.supervisor.home import Home

HOME = Home(Path(os.environ.get("RINGFENCE_HOME", "/nonexistent")))


def life(name: str, reporter: child.Reporter) -> None:
    (HOME.run / f"{name}.pid").write_text(str(os.getpid()))
    if (HOME.path / f"{name}.refuses").exists():
        raise UnavailableError("port.in_use", "Port 8443 is used by another program.", fix="Choose another one.")
    if (HOME.path / f"{name}.crashes").exists():
        raise RuntimeError("boom")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    if (HOME.path / f"{name}.deaf").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reporter.tell("prepared")
    reporter.tell("ready", **({"url": "https://127.0.0.1:8443"} if name == "server" else {}))
    ended.wait()


def supervise() -> int:
    import ringfence.supervisor.daemon as daemon

    daemon._GRACE_SECONDS = 1.0
    os.umask(0o077)
    HOME.prepare()
    child.log_to(HOME.logs / "supervisor.log")
    try:
        from ringfence.settings import load

        return daemon.Supervisor(load(), {"server": "tests.unit.supervisor.server_child",
                                          "worker": "tests.unit.supervisor.worker_child"}).run()
    except Exception as error:
        print(error, file=sys.stderr)
        return 1


def command() -> list[str]:
    return [sys.executable, "-c", "import sys; from tests.unit.supervisor.rehearsal import supervise; "
            "sys.exit(supervise())"]


def start(home: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            cwd=root, env={**os.environ, "RINGFENCE_HOME": str(home), "PYTHONPATH": str(root)})


def eventually(condition: object, seconds: float = 20.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
