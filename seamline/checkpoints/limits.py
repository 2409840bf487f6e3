"""What a checkpoint may ask for before it counts as an attack."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from seamline.errors import InvalidInput

MAX_BYTES: Final = 8 << 30
"""Largest file, and most bytes that one may unfold to."""
UNFOLDING: Final = 20
"""How many times its own size a file, or a member of an archive, may unfold to."""
SLACK: Final = 16 << 20
"""Bytes that even the smallest file may unfold to."""
MAX_OPERATIONS: Final = 20_000_000
"""Operations of a pickle."""
MAX_DEPTH: Final = 200
"""Containers in one another."""
MAX_MEMBERS: Final = 100_000
"""Files in an archive."""


@dataclass
class Budget:
    """What is left of a file's limits while it is read."""

    path: Path
    limit: int
    """Bytes that it may unfold to."""
    operations: int = MAX_OPERATIONS
    nested: int = 2
    """Pickles inside pickles."""
    spent: int = field(default=0, init=False)

    @classmethod
    def of(cls, path: Path, size: int) -> "Budget":
        """The budget of a file of a size in bytes.

        Raises:
            InvalidInput: It is larger than any checkpoint.
        """
        if size > MAX_BYTES:
            raise refusal(path, f"has {size} bytes, more than the {MAX_BYTES} that a checkpoint may have")
        return cls(path, min(MAX_BYTES, UNFOLDING * size + SLACK))

    def spend(self, size: int) -> None:
        """Take bytes off.

        Raises:
            InvalidInput: They are not there.
        """
        self.spent += size
        if size < 0 or self.spent > self.limit:
            raise refusal(self.path, f"unfolds to more than {self.limit} bytes, like a bomb")

    def operate(self) -> None:
        """Take an operation off.

        Raises:
            InvalidInput: There was none left.
        """
        self.operations -= 1
        if self.operations < 0:
            raise refusal(self.path, f"takes more than {MAX_OPERATIONS} operations to read, like a bomb")


def refusal(path: Path, reason: str) -> InvalidInput:
    """The error of a file that is not read."""
    return InvalidInput(
        f"{path}: {reason}; nothing of it was run or kept: get the file again from its official source", path=path
    )
