"""Pickles, operation by operation: what no honest program would write."""

import struct


def name(module: str, attribute: str) -> bytes:
    """Pushes a global."""
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    """Pushes a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def data(value: bytes) -> bytes:
    """Pushes bytes."""
    return b"B" + struct.pack("<I", len(value)) + value


def tuple_of(*items: bytes) -> bytes:
    """Pushes a tuple."""
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    """Pushes what a function makes of arguments."""
    return function + tuple_of(*arguments) + b"R"


def built(made: bytes, state: bytes) -> bytes:
    """Pushes an object with its state."""
    return made + state + b"b"


def table(*pairs: tuple[bytes, bytes]) -> bytes:
    """Pushes a dictionary."""
    return b"}(" + b"".join(key + value for key, value in pairs) + b"u"


def whole(value: bytes) -> bytes:
    """A pickle that holds a value."""
    return b"\x80\x02" + value + b"."
