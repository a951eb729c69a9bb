"""One running platform and a real account for each role, for tests that act as somebody through the command line."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence_command import RINGFENCE, Home

from ringfence.client import Client

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "icu_sepsis"
PASSWORD = "correct horse battery 9"
ENGINEER, OFFICER, STEWARD, SCIENTIST, MLOPS, VIEWER = (
    "ada.admin", "olga.officer", "stella.steward", "dan.scientist", "mia.mlops", "vera.viewer")
WRITER, CALLER = "landing-writer", "bedside-monitor"
PEOPLE = {OFFICER: "security_officer", STEWARD: "data_steward", SCIENTIST: "data_scientist",
          MLOPS: "mlops_engineer", VIEWER: "viewer"}


@dataclass(frozen=True)
class Platform:
    """A platform that answers, and the credential of everyone in it: a session's token or an API key."""

    home: Home
    url: str
    credentials: Mapping[str, str]

    @property
    def authority(self) -> Path:
        return self.home.path / "platform" / "ca" / "ca.pem"

    def client(self, who: str = "") -> Client:
        return Client(self.url, ca=self.authority, token=self.credentials.get(who))

    def environment(self, who: str) -> dict[str, str]:
        return {**self.home.environment(), "RINGFENCE_TOKEN": self.credentials[who]}

    def start(self, who: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([RINGFENCE, *arguments], env=self.environment(who), text=True, start_new_session=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, who: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([RINGFENCE, *arguments], env=self.environment(who), text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False, timeout=120)

    def done(self, who: str, *arguments: str) -> str:
        finished = self.run(who, *arguments)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def refused(self, who: str, *arguments: str) -> str:
        """Run a command that must fail; return its one line."""
        return the_line(self.run(who, *arguments))

    def objects(self, zone: str, kind: str = "") -> list[str]:
        """Return what stands in a zone of the object store, found as someone with access to the disk would."""
        folder = self.home.path / "platform" / "objects" / zone / kind
        return sorted(path.name for path in folder.rglob("*") if path.is_file())

    def dataset(self, name: str) -> Any:
        with self.client(STEWARD) as steward:
            return steward.dataset(name)

    def declare(self, text: str) -> None:
        with self.client(STEWARD) as steward:
            steward.declare_dataset(text)

    def land(self, name: str, file: Path) -> None:
        """Have a file landed and classified."""
        with self.client(WRITER) as writer:
            writer.wait_job(writer.ingest(name, file)["id"])
        with self.client(STEWARD) as steward:
            steward.wait_job(steward.classify(name)["id"])

    def trail(self, **wanted: str) -> list[Any]:
        with self.client(OFFICER) as officer:
            return [found["record"] for found in officer.search_audit(**wanted, limit=1000)]

    def worker(self) -> int:
        """Return the worker's process."""
        listing = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        mine = [int(pid) for pid, command in (line.split(None, 1) for line in listing.splitlines())
                if "-m ringfence.worker" in command and f"RINGFENCE_HOME={self.home.path}".encode() in _environ(pid)]
        assert len(mine) == 1, mine
        return mine[0]

    def served(self) -> str:
        """Return the server's access log."""
        return (self.home.path / "platform" / "logs" / "server.log").read_text()


def the_line(finished: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """Return the one line of an error; anything more, or anything else, fails the test."""
    assert finished.returncode == status, (finished.stdout, finished.stderr)
    assert finished.stdout == ""
    assert finished.stderr.count("\n") == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    assert "unexpected" not in finished.stderr
    return finished.stderr.strip()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def started(home: Home, **settings: str) -> Platform:
    """Start a platform in a new home and make its accounts; `settings` are RINGFENCE_* variables of the platform."""
    variables = {f"RINGFENCE_{name}": value for name, value in settings.items()}
    up = subprocess.run([RINGFENCE, "up", "--port", free_port()], env={**home.environment(), **variables}, text=True,
                        capture_output=True, check=False, timeout=120)
    assert up.returncode == 0, up.stderr
    bootstrapped = home.run("login", ENGINEER, "--bootstrap", "--password-stdin", "--json", stdin=PASSWORD)
    assert bootstrapped.returncode == 0, bootstrapped.stderr
    url = home.json("whoami")["url"]
    return Platform(home, url, _credentials(url, home.path / "platform" / "ca" / "ca.pem"))


def _credentials(url: str, authority: Path) -> dict[str, str]:
    found = {}
    with Client(url, ca=authority) as engineer:
        found[ENGINEER] = engineer.login(ENGINEER, PASSWORD)["token"]
        for name, role in PEOPLE.items():
            engineer.create_account(name, roles=[role], password=PASSWORD, person=name)
            with Client(url, ca=authority) as client:
                found[name] = client.login(name, PASSWORD)["token"]
        for name, role, scope in ((WRITER, "ingest_writer", "dataset.ingest"), (CALLER, "endpoint_caller", "")):
            engineer.create_account(name, kind="service", roles=[role])
            found[name] = engineer.create_key(name, scopes=[scope] if scope else [], days=1)["secret"]
    return found


def stays(path: Path, count: int = 300) -> Path:
    """Write the example's raw CSV, small."""
    subprocess.run([sys.executable, EXAMPLE / "generate.py", path, "--stays", str(count)], check=True,
                   capture_output=True)
    return path


def declaration(name: str, *changes: tuple[str, str]) -> str:
    """Return the example's declaration under another name, fit for few stays, with `changes`: text and replacement."""
    text = (EXAMPLE / "dataset.yaml").read_text()
    fitting = [("name: icu-stays", f"name: {name}"), ("to: year", "to: decade"),
               ("max_suppressed_share: 0.2", "max_suppressed_share: 0.5"), *changes]
    for old, new in fitting:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def _environ(pid: str) -> list[bytes]:
    try:
        return Path("/proc", pid, "environ").read_bytes().split(b"\0")
    except OSError:
        return []
