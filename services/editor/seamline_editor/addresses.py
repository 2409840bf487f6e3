"""Addresses in requests: which of them this service may connect to.

A request that names an address asks a service inside the network to connect to it (server-side request forgery). So
an address is taken apart by one strict grammar, its origin must be one that the operator listed, to the letter, and
these checked parts are what is connected to: no second parser reads the text again and finds another host in it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from seamline.errors import InvalidInput

LONGEST = 8192
"""Characters of an address; presigned ones with session tokens have two thousand."""

_PORTS = {"https": 443, "http": 80}
_HOST = r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\]"
# Without ASCII, ignoring case would take the Kelvin sign for a k.
_ORIGIN = re.compile(rf"(?P<scheme>https?)://(?P<host>{_HOST})(:(?P<port>[0-9]{{1,5}}))?", re.IGNORECASE | re.ASCII)
# The characters of RFC 3986. A fragment would not be sent, so one in a request is a mistake.
_TARGET = re.compile(r"(?P<path>(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?)(?P<query>(\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Scheme, host and port: what two addresses of one server share."""

    scheme: str
    """https or http."""
    host: str
    """Lower-case; an IPv6 address in brackets."""
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address that may be connected to."""

    origin: Origin
    path: str
    query: str
    """With its question mark. Of a presigned address it is the key: it stands in no message, log or trace."""
    field: str
    """Where it stands in the request."""

    def __repr__(self) -> str:
        return f"Address({self})"

    def __str__(self) -> str:
        """For messages: without the query."""
        return f"{self.origin}{self.path}"[:300]

    @property
    def target(self) -> str:
        """What an HTTP request asks for."""
        return (self.path or "/") + self.query

    @property
    def suffix(self) -> str:
        """That of a file's name, ".mp4"; empty if there is none or it is an unusual one."""
        suffix = PurePosixPath(self.path).suffix.lower()
        return suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ""


@dataclass(frozen=True)
class Origins:
    """The allow-list."""

    allowed: frozenset[Origin] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "Origins":
        """Reads "https://media.example.com, https://bucket.s3.eu-central-1.amazonaws.com:8443".

        Raises:
            InvalidInput: an entry is no origin.
        """
        return cls(frozenset(_origins(entry.strip() for entry in text.split(",") if entry.strip())))

    def check(self, uri: str, field: str) -> Address:
        """The address, taken apart.

        Args:
            uri: as it stands in a request.
            field: where.

        Raises:
            InvalidInput: it cannot be read without doubt, or its origin is not allowed.
        """
        if len(uri) > LONGEST:
            raise InvalidInput(f"{field} has {len(uri)} characters, of {LONGEST} at most", field=field)
        origin = _ORIGIN.match(uri)
        target = _TARGET.fullmatch(uri, origin.end()) if origin else None
        if not origin or not target:
            raise InvalidInput(
                f"{field}: {without_secrets(uri)!r} cannot be read as https://host[:port]/path?query; leave out user "
                "names and fragments, and percent-encode what is not plain ASCII",
                field=field,
            )
        address = Address(origin=_origin(origin), path=target["path"], query=target["query"], field=field)
        if address.origin not in self.allowed:
            allowed = ", ".join(sorted(map(str, self.allowed))) or "none"
            raise InvalidInput(
                f"{field}: this editor does not connect to {address.origin} (SEAMLINE_URL_ORIGINS allows {allowed}); "
                "use an allowed origin, or the object store",
                field=field,
            )
        return address


def is_address(uri: str) -> bool:
    """Whether a reference is meant as an address of the web, and not as one of the store."""
    return uri.strip().lower().startswith(("http:", "https:"))


def without_secrets(uri: str) -> str:
    """As much of an address as may be shown, whatever is wrong with it: no user names, query or fragment."""
    scheme, colon, rest = re.split(r"[?#]", uri, maxsplit=1)[0].partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{colon}{authority.rpartition('@')[2]}{slash}{path}"[:200]


def _origins(entries: Iterable[str]) -> Iterable[Origin]:
    for entry in entries:
        found = _ORIGIN.fullmatch(entry.removesuffix("/"))
        if not found:
            raise InvalidInput(
                f"{without_secrets(entry)!r} is no origin; write https://host or https://host:port, with commas between"
            )
        yield _origin(found)


def _origin(found: re.Match[str]) -> Origin:
    scheme = found["scheme"].lower()
    return Origin(scheme=scheme, host=found["host"].lower(), port=int(found["port"] or _PORTS[scheme]))
