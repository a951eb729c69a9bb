"""A platform that says what a test tells it to, over real TLS 1.3 with an authority of its own."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class CutOff(bytes):
    """A body whose connection breaks before its announced end."""


@dataclass
class Canned:
    """`answers` maps `METHOD /path` (without the query) to (status, content), or to a list of them in turn."""

    url: str
    ca: Path
    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def asked(self, line: str) -> list[Request]:
        return [request for request in self.requests if f"{request.method} {request.path.partition('?')[0]}" == line]


@contextmanager
def canned_platform(folder: Path) -> Iterator[Canned]:
    """Serve for the block."""
    certificate, key = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    platform = Canned(f"https://127.0.0.1:{server.server_address[1]}", certificate)
    server.platform = platform  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        platform: Canned = self.server.platform  # type: ignore[attr-defined]
        length = int(self.headers.get("Content-Length") or 0)
        platform.requests.append(Request(self.command, self.path, dict(self.headers), self.rfile.read(length)))
        answer = platform.answers.get(f"{self.command} {self.path.partition('?')[0]}", (404, problem("route.missing")))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        status, content = answer
        body = content if isinstance(content, bytes) else (
            content.encode() if isinstance(content, str) else json.dumps(content).encode())
        self.send_response(status)
        self.close_connection = isinstance(body, CutOff)
        self.send_header("Content-Length", str(len(body) + self.close_connection))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def problem(code: str, title: str = "It was refused.", status: int = 404, fix: str = "Do otherwise.") -> dict[str, Any]:
    """Return a problem document."""
    return {"code": code, "title": title, "status": status, "fix": fix, "field": "name", "value": "x"}


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "canned")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
                   .not_valid_after(now + timedelta(hours=1))
                   .add_extension(address, critical=False)
                   .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                   .sign(key, hashes.SHA256()))
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return folder / "ca.pem", folder / "key.pem"
