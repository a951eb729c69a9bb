"""The egress canary: proof that a listener of this host is reached from outside a fence and not from inside one.

Only a listener that has heard the prober outside can show anything by not hearing it inside: a canary whose
listeners are not reached from outside is invalid, and never says `blocked`.
"""

from __future__ import annotations

import contextlib
import secrets
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ringfence_workload
from ringfence.errors import UnavailableError
from ringfence.sandbox.sandbox import FenceSpec, Limits, Sandbox
from ringfence.sandbox.tasks import run_task
from ringfence_workload.wire.messages import Connection, PeerGoneError, PeerMisbehavedError

SECONDS = 30.0
REQUIRED = ("tcp", "udp", "dns", "unix", "abstract")
# TEST-NET-1 of RFC 5737: asking for the way there tells this host's own address, and sends nothing.
NOWHERE = ("192.0.2.1", 9)
_START = "import sys; sys.path.insert(0, sys.argv[2]); from ringfence_workload.__main__ import main; " \
         "sys.exit(main(int(sys.argv[1])))"


@dataclass(frozen=True)
class CanaryAttempt:
    """One listener: was it reached from outside, and from inside the fence; what the prober inside met."""

    name: str
    reached_outside: bool
    reached_inside: bool
    detail: str


@dataclass(frozen=True)
class CanaryResult:
    """`blocked`: every listener was reached from outside, and none from inside."""

    blocked: bool
    attempts: tuple[CanaryAttempt, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values, for a run's provenance."""
        return asdict(self)


def egress_canary(sandbox: Sandbox, environment: str = "base") -> CanaryResult:
    """Open listeners, probe them from outside and from inside a fence of `environment`, compare.

    Raises:
        UnavailableError: no fence can be had, or a listener can't be opened.
        WorkloadError: the prober inside died.
    """
    with _Listeners() as listeners:
        outside, inside = secrets.token_hex(8), secrets.token_hex(8)
        parameters = {"targets": listeners.targets}
        _probe_outside({**parameters, "nonce": outside})
        spec = FenceSpec("canary", environment, limits=Limits(memory=512 << 20, wall_seconds=SECONDS))
        claimed = run_task(sandbox, spec, "probe.egress", {**parameters, "nonce": inside}).values.get("attempts", {})
        attempts = tuple(_compared(name, listeners.heard, outside, inside, claimed.get(name, {}))
                         for name in listeners.targets)
    complete = set(REQUIRED) <= set(listeners.targets)
    return CanaryResult(complete and all(a.reached_outside and not a.reached_inside for a in attempts), attempts)


def _compared(name: str, heard: set[tuple[str, str]], outside: str, inside: str,
              claimed: Mapping[str, Any]) -> CanaryAttempt:
    # What a listener heard counts; what the prober says can only make the result worse.
    return CanaryAttempt(name, (name, outside) in heard, (name, inside) in heard or claimed.get("reached") is not False,
                         str(claimed.get("detail", ""))[:200])


def _probe_outside(parameters: Mapping[str, Any]) -> None:
    """Run the same prober as a plain process of this host."""
    ours, theirs = socket.socketpair()
    source = str(Path(ringfence_workload.__file__).resolve().parents[1])
    connection = Connection(ours)
    with theirs:
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _START, str(theirs.fileno()), source],
                                   pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        connection.send({"task": "probe.egress", "parameters": dict(parameters), "inputs": []}, timeout=SECONDS)
        connection.receive(SECONDS)
    except (PeerGoneError, PeerMisbehavedError, TimeoutError):
        pass  # Then no listener heard it, and the canary is invalid.
    finally:
        connection.close()
        process.kill()
        process.wait()


class _Listeners:
    """Live listeners of this host, each answering a nonce with itself, in one thread."""

    def __init__(self) -> None:
        self.targets: dict[str, dict[str, Any]] = {}
        self.heard: set[tuple[str, str]] = set()
        self._selector = selectors.DefaultSelector()
        self._cleanup = contextlib.ExitStack()
        self._wake, self._stop = socket.socketpair()

    def __enter__(self) -> _Listeners:
        try:
            self._open_all()
        except OSError as error:
            self._cleanup.close()
            raise UnavailableError("canary.no_listener", f"The egress canary can't listen: {error}.",
                                   fix="Allow the platform to open sockets on 127.0.0.1.") from error
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._serve, name="canary", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.close()
        self._thread.join()
        self._wake.close()
        self._selector.close()
        self._cleanup.close()

    def _open_all(self) -> None:
        # A unix socket's path has at most 107 bytes, and a TMPDIR may be longer.
        long = len(tempfile.gettempdir()) > 60
        folder = tempfile.mkdtemp(prefix="ringfence-canary-", dir="/tmp" if long else None)  # noqa: S108 - 0700 at first
        self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        Path(folder).chmod(0o755)
        self._open("tcp", "tcp", socket.AF_INET, ("127.0.0.1", 0))
        self._open("udp", "udp", socket.AF_INET, ("127.0.0.1", 0))
        self._open("dns", "dns", socket.AF_INET, ("127.0.0.1", 0))
        self._open("unix", "unix", socket.AF_UNIX, f"{folder}/canary.sock")
        self._open("abstract", "abstract", socket.AF_UNIX, f"\0ringfence-canary-{secrets.token_hex(8)}")
        Path(folder, "canary.sock").chmod(0o777)
        with contextlib.suppress(OSError):  # a host without IPv6, or without any network
            self._open("tcp6", "tcp6", socket.AF_INET6, ("::1", 0))
        for address in _own_addresses():
            self._open("tcp_own_address", "tcp", socket.AF_INET, (address, 0))

    def _open(self, name: str, kind: str, family: int, address: Any) -> None:
        datagrams = kind in ("udp", "dns")
        listener = socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        self._cleanup.callback(listener.close)
        listener.bind(address)
        if not datagrams:
            listener.listen()
        bound = listener.getsockname()
        shown = bound.decode().lstrip("\0") if isinstance(bound, bytes) else bound
        self.targets[name] = {"kind": kind, "address": shown if family == socket.AF_UNIX else list(shown[:2])}
        self._selector.register(listener, selectors.EVENT_READ, (name, datagrams))

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                with contextlib.suppress(OSError):
                    self._answer(key.fileobj, *key.data)

    def _answer(self, listener: Any, name: str, datagrams: bool) -> None:
        if datagrams:
            data, peer = listener.recvfrom(512)
            self._note(name, data)
            listener.sendto(data, peer)
            return
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(1.0)
            data = connection.recv(512)
            self._note(name, data)
            connection.sendall(data)

    def _note(self, name: str, data: bytes) -> None:
        # A DNS query holds the nonce as its first label, behind twelve bytes of header and one of length.
        text = data[13:29] if self.targets[name]["kind"] == "dns" else data[:16]
        self.heard.add((name, text.decode("ascii", "replace")))


def _own_addresses() -> list[str]:
    """Return this host's address towards other networks, if it has one."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(NOWHERE)
        address = str(probe.getsockname()[0])
        return [] if address.startswith("127.") else [address]
    return []
