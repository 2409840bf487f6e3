"""TLS of calls: what this process shows, and whom it trusts.

Everything lies in PEM files, which are read again when they change: a certificate that cert-manager renews is shown at
the next connection, and an authority that is taken out is trusted no more then. What is wrong with a file is said at
the start, with the variable that names it; of a file that goes wrong later, what was there before stays in force.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from seamline.errors import InvalidInput
from seamline.rpc.metrics import CERTIFICATE_EXPIRY
from seamline.rpc.reloaded import Reloaded

CERTIFICATE = "SEAMLINE_TLS_CERTIFICATE"
KEY = "SEAMLINE_TLS_KEY"
CLIENT_CA = "SEAMLINE_TLS_CLIENT_CA"
CA = "SEAMLINE_TLS_CA"

SYSTEM = "system"
"""In place of a file of authorities: the public ones that come with gRPC."""


class Identity(NamedTuple):
    """A certificate, the chain above it, and its key, in PEM."""

    key: bytes
    chain: bytes


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Settings of both ends; all empty for plaintext."""

    certificate: str = ""
    """File of the certificate, and of the chain above it, that is shown to callers and to the services called."""
    key: str = ""
    """File of its key, not encrypted."""
    client_ca: str = ""
    """File of the authorities of which callers must show a certificate; empty if they need not show any."""
    ca: str = ""
    """File of the authorities of the services called, or `SYSTEM`; empty to call in plaintext."""

    @classmethod
    def from_environment(cls) -> Self:
        """The settings of a program that only calls."""
        return cls(certificate=os.environ.get(CERTIFICATE, ""), key=os.environ.get(KEY, ""), ca=os.environ.get(CA, ""))

    def server_credentials(self) -> grpc.ServerCredentials | None:
        """What a server listens with; None for plaintext.

        Raises:
            InvalidInput: a file is missing or wrong or has expired, or a setting lacks another.
        """
        if not self.certificate:
            for variable, value in ((KEY, self.key), (CLIENT_CA, self.client_ca)):
                if value:
                    raise InvalidInput(f"{variable} is set, but {CERTIFICATE} is not: set both", field=variable)
            return None
        shown = Reloaded(self._paths(self.certificate, self.key, self.client_ca), self._server_configuration)
        changes: Any = _changes(shown)  # gRPC's types lack the None that it documents
        return grpc.dynamic_ssl_server_credentials(shown.get(), changes, bool(self.client_ca))

    def channel_credentials(self) -> "Reloaded[grpc.ChannelCredentials | None]":
        """What a channel connects with, None for plaintext; a new object once a file has changed.

        Raises:
            InvalidInput: as `server_credentials`.
        """
        named = (self.ca, self.certificate, self.key) if self.ca else ()
        return Reloaded(self._paths(*named), self._channel_credentials)

    def validity(self) -> tuple[datetime, datetime] | None:
        """From when to when the certificate that is shown is valid, in UTC; None if there is none.

        Raises:
            InvalidInput: the file is missing or wrong.
        """
        if not self.certificate:
            return None
        shown = _certificates(CERTIFICATE, self.certificate, _read(CERTIFICATE, self.certificate))[0]
        return shown.not_valid_before_utc, shown.not_valid_after_utc

    def _server_configuration(self) -> grpc.ServerCertificateConfiguration:
        authorities = _authorities(CLIENT_CA, self.client_ca) if self.client_ca else None
        identity = self._identity()
        ends = _certificates(CERTIFICATE, self.certificate, identity.chain)[0].not_valid_after_utc
        CERTIFICATE_EXPIRY.set(ends.timestamp())
        return grpc.ssl_server_certificate_configuration([identity], authorities)

    def _channel_credentials(self) -> grpc.ChannelCredentials | None:
        if not self.ca:
            return None
        roots = None if self.ca == SYSTEM else _authorities(CA, self.ca)
        key, chain = self._identity() if self.certificate or self.key else (None, None)
        return grpc.ssl_channel_credentials(roots, key, chain)

    def _identity(self) -> Identity:
        for variable, value, other in ((CERTIFICATE, self.certificate, KEY), (KEY, self.key, CERTIFICATE)):
            if not value:
                raise InvalidInput(f"{other} is set, but {variable} is not: set both", field=variable)
        chain, key = _read(CERTIFICATE, self.certificate), _read(KEY, self.key)
        certificate = _valid(CERTIFICATE, self.certificate, chain)
        public = _public_key(self.key, key)
        if certificate.public_key() != public:
            raise InvalidInput(
                f"{KEY} {self.key} is not the key of {CERTIFICATE} {self.certificate}: name two that belong together",
                field=KEY,
            )
        if not _usable(public):
            raise InvalidInput(
                f"{KEY} {self.key} is of a kind that gRPC does not take, or too short: make an ECDSA key on P-256 or "
                "P-384, or an RSA key of 2048 bits or more",
                field=KEY,
            )
        return Identity(key, chain)

    def _paths(self, *named: str) -> list[Path]:
        return [Path(name) for name in named if name not in ("", SYSTEM)]


def _changes(
    shown: Reloaded[grpc.ServerCertificateConfiguration],
) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
    """For gRPC, which asks before each handshake: the configuration if it has changed, else None."""
    last = shown.get()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        before, last = last, shown.get()
        return None if last is before else last

    return changed


def _authorities(variable: str, path: str) -> bytes:
    pem = _read(variable, path)
    ends = max(each.not_valid_after_utc for each in _certificates(variable, path, pem))
    if datetime.now(UTC) > ends:
        raise InvalidInput(f"{variable} {path} expired at {ends}: name authorities that are in force", field=variable)
    return pem


def _valid(variable: str, path: str, pem: bytes) -> x509.Certificate:
    """The first certificate of a file, which is in force."""
    first, now = _certificates(variable, path, pem)[0], datetime.now(UTC)
    if now > first.not_valid_after_utc:
        raise InvalidInput(f"{variable} {path} expired at {first.not_valid_after_utc}: renew it", field=variable)
    if now < first.not_valid_before_utc:
        raise InvalidInput(
            f"{variable} {path} is valid from {first.not_valid_before_utc} only, and here it is {now:%Y-%m-%d %H:%M}: "
            "set the clock right",
            field=variable,
        )
    return first


def _certificates(variable: str, path: str, pem: bytes) -> list[x509.Certificate]:
    """What was read from a file, at once: the file may change between two reads."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise InvalidInput(
            f"{variable} {path} holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE----- ({error})",
            field=variable,
        ) from None


def _usable(key: object) -> bool:
    """Whether the TLS in gRPC shakes hands with such a key; with others it would only close connections."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048


def _public_key(path: str, key: bytes) -> object:
    try:
        return load_pem_private_key(key, password=None).public_key()
    except TypeError:
        raise InvalidInput(
            f"{KEY} {path} is encrypted, and a service has nobody to ask: decrypt it, as with openssl pkey", field=KEY
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        # Not the text of the error: it might quote what was in the file.
        raise InvalidInput(
            f"{KEY} {path} holds no private key in PEM ({type(error).__name__}); is it the certificate?", field=KEY
        ) from None


def _read(variable: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{variable} {path} cannot be read: {error.strerror}; name a file that this process may read",
            field=variable,
        ) from None
