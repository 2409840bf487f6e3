"""What is made of files that change while the process runs: certificates that are renewed, lists of clients."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from seamline.errors import InvalidInput

logger = logging.getLogger(__name__)

T = TypeVar("T")

_Stamp = tuple[int, int, int] | None


class Reloaded(Generic[T]):
    """What a function makes of some files, made anew once one of them has changed.

    What is wrong then is logged, once a change, and what was there stays: a file half written, or a certificate that
    came before its key, stops nothing.
    """

    def __init__(self, paths: Sequence[Path], load: Callable[[], T]) -> None:
        """Loads.

        Args:
            paths: the files that `load` reads.
            load: reads them; called again at the first `get` after a change.

        Raises:
            InvalidInput: what `load` raises.
        """
        self._paths, self._load = paths, load
        self._stamps = self._stamped()
        self._loaded = load()

    def get(self) -> T:
        """What the files say now, the same object for as long as they stay as they are."""
        stamps = self._stamped()
        if stamps != self._stamps:
            # Before they are read: what changes meanwhile is read again.
            self._stamps = stamps
            try:
                self._loaded = self._load()
            except InvalidInput as error:
                logger.error(f"{error}; what it said before stays in force")
            else:
                logger.info("read again", extra={"files": [str(path) for path in self._paths]})
        return self._loaded

    def _stamped(self) -> list[_Stamp]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> _Stamp:
    """What tells a file from what it was; behind links, as Kubernetes replaces mounted secrets by moving a link."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
