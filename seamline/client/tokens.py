"""A client's token, as it travels with its calls."""

import os
import re
from ipaddress import ip_address

from seamline.errors import InvalidInput

TOKEN = "SEAMLINE_TOKEN"
PLAINTEXT_TOKENS = "SEAMLINE_PLAINTEXT_TOKENS"
"""Set to true, tokens may travel unencrypted, because something else encrypts them: a mesh, a tunnel."""

AUTHORIZATION_KEY = "authorization"

_SCHEME = re.compile("^(dns:(//[^/]*/)?|ipv4:|ipv6:)")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1


def authorization(token: str, endpoint: str, *, encrypted: bool) -> tuple[tuple[str, str], ...]:
    """The metadata that shows a token.

    Args:
        token: the secret; no error quotes it.
        endpoint: where it is sent to.
        encrypted: whether calls there are.

    Raises:
        InvalidInput: it is not a token, or would travel where others can read it.
    """
    if not _TOKEN.fullmatch(token):
        raise InvalidInput(
            "the token has characters that a token has not, perhaps a line break or quotes; give it as it was made",
            field=TOKEN,
        )
    if not encrypted and not is_loopback(endpoint) and not plaintext_tokens_allowed():
        raise InvalidInput(
            f"the token would travel to {endpoint} unencrypted: set SEAMLINE_TLS_CA; or, where a mesh or a tunnel "
            f"encrypts, {PLAINTEXT_TOKENS}=true",
            field=TOKEN,
        )
    return ((AUTHORIZATION_KEY, f"Bearer {token}"),)


def plaintext_tokens_allowed() -> bool:
    """Whether the environment says so."""
    return os.environ.get(PLAINTEXT_TOKENS, "").lower() in ("1", "true", "yes", "on")


def is_loopback(endpoint: str) -> bool:
    """Whether every address of an endpoint is this machine's own."""
    return all(_is_own(address.strip()) for address in _SCHEME.sub("", endpoint).split(","))


def _is_own(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
