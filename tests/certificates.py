"""Certificates for tests: an authority, and what it issues, as PEM files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True, kw_only=True)
class Issued:
    """The PEM files of one certificate."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates, and signs them with a key that only it has.

    Attributes:
        certificate: PEM file for those who trust it.
    """

    def __init__(self, directory: Path, name: str = "authority") -> None:
        """Makes its own certificate, in a directory that is made if it is missing."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        own = self._begun(self._name, self._key, timedelta(days=1)).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = directory / f"{name}.crt"
        self.certificate.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def issue(
        self,
        name: str = "service",
        *hosts: str,
        ends_in: timedelta = timedelta(hours=1),
        password: str = "",
        key: Key | None = None,
    ) -> Issued:
        """Writes <name>.crt and <name>.key, over those that are there.

        Args:
            name: the subject.
            hosts: names and addresses that it is for; loopback if left out.
            ends_in: negative for one that has expired.
            password: encrypts the key.
            key: an ECDSA one on P-256 if left out.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        names = [_alternative(host) for host in hosts or LOOPBACK]
        issued = self._begun(_name(name), key, ends_in).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        files = Issued(certificate=self._directory / f"{name}.crt", key=self._directory / f"{name}.key")
        files.certificate.write_bytes(_pem(issued.sign(self._key, hashes.SHA256())))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption(),
            )
        )
        return files

    def _begun(self, subject: x509.Name, key: Key, ends_in: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + ends_in)
            # As real authorities have it: by these, one is told from its successor of the same name.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
