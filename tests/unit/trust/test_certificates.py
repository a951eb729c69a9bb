"""The platform's own authority: what it makes verifies, lasts, and is renewed."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ringfence.errors import UnavailableError
from ringfence.trust.identity import certificates
from ringfence.trust.identity.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "ca")
    made.ensure()
    return made


def handshake(authority: Authority, trusted: Path, name: str) -> str:
    """Return the TLS version of a real handshake with a client that trusts `trusted` and asks for `name`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.certificate_path, authority.key_path)
    client = ssl.create_default_context(cafile=str(trusted))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    left, right = socket.socketpair()
    thread = threading.Thread(target=lambda: serve(server, left))
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname=name) as connection:
            return connection.version() or ""
    finally:
        right.close()
        thread.join()


def serve(context: ssl.SSLContext, end: socket.socket) -> None:
    try:
        context.wrap_socket(end, server_side=True).close()
    except OSError:
        end.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", socket.gethostname()])
def test_a_client_that_trusts_the_authority_connects(authority: Authority, name: str) -> None:
    assert handshake(authority, authority.ca_path, name) == "TLSv1.3"


def test_another_name_or_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    other.ensure()
    for trusted, name in ((authority.ca_path, "ringfence.example"), (other.ca_path, "localhost")):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(authority, trusted, name)


def test_everything_is_private_and_stays(authority: Authority, tmp_path: Path) -> None:
    files = {path: path.read_bytes() for path in (tmp_path / "ca").iterdir()}
    assert sorted(path.name for path in files) == ["ca.key", "ca.pem", "server.key", "server.pem"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    authority.ensure()
    assert {path: path.read_bytes() for path in files} == files


def test_the_server_can_not_issue_certificates(authority: Authority) -> None:
    server = x509.load_pem_x509_certificate(authority.certificate_path.read_bytes())
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert server.not_valid_after_utc < datetime.now(UTC) + timedelta(days=91)


@pytest.mark.parametrize("why", ["soon over", "a name more", "no key", "another key", "garbage", "another authority's"])
def test_the_servers_certificate_is_renewed(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            why: str) -> None:
    before, again = authority.certificate_path.read_bytes(), authority
    if why == "soon over":
        monkeypatch.setattr(certificates, "RENEW_DAYS", 90)
    if why == "a name more":
        again = Authority(tmp_path / "ca", ("ringfence.example",))
    if why == "no key":
        authority.key_path.unlink()
    if why in ("another key", "another authority's"):
        other = Authority(tmp_path / "other")
        other.ensure()
        authority.key_path.write_bytes(other.key_path.read_bytes())
        if why == "another authority's":
            authority.certificate_path.write_bytes(other.certificate_path.read_bytes())
    if why == "garbage":
        authority.certificate_path.write_bytes(b"garbage")
    again.ensure()
    assert authority.certificate_path.read_bytes() != before
    assert handshake(authority, authority.ca_path, "ringfence.example" if why == "a name more" else "localhost")


def test_a_lost_authority_is_not_replaced_in_silence(authority: Authority) -> None:
    (authority.ca_path.parent / "ca.key").unlink()
    with pytest.raises(UnavailableError, match="do not fit"):
        authority.ensure()


def test_a_readable_key_is_refused(authority: Authority) -> None:
    authority.key_path.chmod(0o644)
    with pytest.raises(UnavailableError, match="Others than its owner"):
        authority.ensure()
