"""The platform's own certificate authority and its server certificate (X.509, P-256)."""

from __future__ import annotations

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ringfence.errors import MissingError, UnavailableError
from ringfence.trust import private_files

AUTHORITY_DAYS, SERVER_DAYS, RENEW_DAYS = 3650, 90, 30


class Authority:
    """Keeps `ca.pem`, `ca.key`, `server.pem` and `server.key` in `folder`, which is private."""

    def __init__(self, folder: Path, names: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._names = (*dict.fromkeys(("localhost", socket.gethostname(), *names)),)

    @property
    def ca_path(self) -> Path:
        """Return the authority's certificate: what a client must trust."""
        return self._folder / "ca.pem"

    @property
    def certificate_path(self) -> Path:
        """Return the server's certificate."""
        return self._folder / "server.pem"

    @property
    def key_path(self) -> Path:
        """Return the server's private key."""
        return self._folder / "server.key"

    def ensure(self) -> None:
        """Make what is missing, and renew the server's certificate a month before it ends or when its names changed.

        Raises:
            UnavailableError: a file can't be read or written, or a key may be read by others.
        """
        private_files.make_folder(self._folder)
        key, certificate = self._authority()
        if not self._server_holds(certificate):
            self._issue(key, certificate)

    def _authority(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        path = self._folder / "ca.key"
        if not path.exists() and not self.ca_path.exists():
            private_files.create(path, _pem(ec.generate_private_key(ec.SECP256R1())))
        try:
            key = serialization.load_pem_private_key(private_files.read(path), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(path)
            if not self.ca_path.exists():
                private_files.create(self.ca_path, _authority_certificate(key))
            certificate = x509.load_pem_x509_certificate(private_files.read(self.ca_path))
            if certificate.public_key() != key.public_key():
                raise ValueError(path)
        except (ValueError, MissingError) as error:
            raise UnavailableError("certificates.unusable", f"{path} and {self.ca_path.name} do not fit each other.",
                                   fix="Restore both from a backup, or remove both: clients must then trust a new "
                                   "authority.", value=str(path)) from error
        return key, certificate

    def _server_holds(self, authority: x509.Certificate) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(private_files.read(self.certificate_path))
            key = serialization.load_pem_private_key(private_files.read(self.key_path), None)
            certificate.verify_directly_issued_by(authority)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (MissingError, ValueError, TypeError, x509.ExtensionNotFound):
            return False
        except Exception as error:
            if isinstance(error, UnavailableError):
                raise
            return False  # a signature that does not verify
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        return (certificate.public_key() == key.public_key() and names == self._alternative_names()
                and left > timedelta(days=RENEW_DAYS))

    def _issue(self, authority: ec.EllipticCurvePrivateKey, issuer: x509.Certificate) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (_builder("Ringfence server", issuer.subject, key.public_key(), SERVER_DAYS)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(self._alternative_names(), critical=False)
                   .add_extension(_usage(signs_certificates=False), critical=True)
                   .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
                                  critical=False))
        # The key first: a crash in between leaves a pair that does not fit, which the next start replaces.
        private_files.write(self.key_path, _pem(key))
        private_files.write(self.certificate_path, _certificate_pem(builder.sign(authority, hashes.SHA256())))

    def _alternative_names(self) -> x509.SubjectAlternativeName:
        addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
        return x509.SubjectAlternativeName([*(x509.DNSName(name) for name in self._names), *addresses])


def _authority_certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ringfence authority")])
    builder = (_builder("Ringfence authority", name, key.public_key(), AUTHORITY_DAYS)
               .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
               .add_extension(_usage(signs_certificates=True), critical=True))
    return _certificate_pem(builder.sign(key, hashes.SHA256()))


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer).public_key(key).serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        encipher_only=False, decipher_only=False)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
