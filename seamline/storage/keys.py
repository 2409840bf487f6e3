"""What a key may look like: the same rule for every store, so that work moves between them."""

import re

from seamline.errors import InvalidInput

MAX_KEY_BYTES = 900
"""S3 allows 1024 bytes; the rest is left to the store's own prefix."""


def check_key(key: str) -> str:
    """Returns `key` if it names an object, and cannot name anything outside the store.

    Keys are segments joined by "/". A segment is not empty and does not start with a dot, which rules out
    "." and ".." and keeps the names of unfinished local files apart.

    Raises:
        InvalidInput: any other key.
    """
    wrong = _what_is_wrong(key)
    if wrong:
        raise InvalidInput(
            f"object key {key!r} {wrong}; use segments joined by '/', none empty or starting with a dot",
            key=key,
        )
    return key


def is_key(text: str) -> bool:
    """Whether `check_key` would take it: what others put into a store may be named otherwise."""
    return not _what_is_wrong(text)


def check_prefix(prefix: str) -> str:
    """Returns `prefix` if it may begin a key: empty, or a key, or a key and a slash."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def named(uri: str) -> str:
    """An address for messages: whose query or user part may be a secret."""
    return re.sub(r"^([^/]*//)[^/]*@", r"\1", re.sub(r"[?#].*", "", uri, flags=re.DOTALL))


def _what_is_wrong(key: str) -> str:
    if not key:
        return "is empty"
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    if "\\" in key or not key.isprintable():
        return "has a backslash or an unprintable character"
    segments = key.split("/")
    if "" in segments:
        return "has an empty segment"
    if any(segment.startswith(".") for segment in segments):
        return "has a segment that starts with a dot"
    return ""
