"""The trusted prober: tries to reach what its keeper names, and reports what came of each try."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from ringfence_workload.task import Job, Result

SECONDS = 2.0
FAMILIES = {"tcp": (socket.AF_INET, socket.SOCK_STREAM), "tcp6": (socket.AF_INET6, socket.SOCK_STREAM),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM), "dns": (socket.AF_INET, socket.SOCK_DGRAM),
            "unix": (socket.AF_UNIX, socket.SOCK_STREAM), "abstract": (socket.AF_UNIX, socket.SOCK_STREAM)}


def probe(job: Job) -> Result:
    """Try each of `targets` {name: {"kind", "address"}} with `nonce`.

    Values: {"attempts": {name: {"reached", "detail"}}}; reached means that the listener's answer came back.
    """
    nonce = str(job.parameters["nonce"])
    return Result({"attempts": {name: attempt(target, nonce) for name, target in job.parameters["targets"].items()}})


def attempt(target: Mapping[str, Any], nonce: str) -> dict[str, Any]:
    """Try one target."""
    family, kind = FAMILIES[target["kind"]]
    try:
        with socket.socket(family, kind) as probe_socket:
            probe_socket.settimeout(SECONDS)
            probe_socket.connect(_address(target))
            request = dns_query(nonce) if target["kind"] == "dns" else nonce.encode()
            probe_socket.send(request)
            answered = nonce.encode() in probe_socket.recv(512)
    except OSError as error:
        return {"reached": False, "detail": f"{type(error).__name__}: {error.strerror or error}"}
    return {"reached": answered, "detail": "answered" if answered else "a strange answer came"}


def dns_query(name: str) -> bytes:
    """Return a DNS query (RFC 1035) for the A record of `name`.test."""
    labels = b"".join(bytes([len(label)]) + label for label in (name.encode(), b"test"))
    return b"\x52\x46\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"


def _address(target: Mapping[str, Any]) -> Any:
    address = target["address"]
    if target["kind"] == "abstract":
        return "\0" + address
    return address if target["kind"] == "unix" else (address[0], int(address[1]))
