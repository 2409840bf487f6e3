"""The renderer's one way to compile a function to machine code."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numba

_FOLDER: Final = Path(__file__).parent
_SOURCES: Final = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(_FOLDER.glob("*.py")))).hexdigest()
_compile: Any = numba.njit(cache=True, fastmath=True, nogil=True)


def fast(function: Callable[..., Any]) -> Any:
    """Compile `function` with numba and cache it on disk by the digest of the package's sources.

    numba's own cache looks at one file only and keeps a caller whose callees have changed elsewhere.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_FOLDER / "__pycache__" / _SOURCES[:12])
    try:
        return _compile(function)
    finally:
        numba.config.CACHE_DIR = before
