"""What a checkpoint format is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamline.checkpoints.network_file import Converted
from seamline.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Format:
    """A published checkpoint format, and how it becomes a network of ours."""

    name: str
    """As the command line names it."""
    inputs: tuple[str, ...]
    """What each given file is, in order."""
    optional_inputs: int = 0
    """How many of the last inputs may be left out."""
    repeated: bool = False
    """Whether the last input may come any number of times."""
    description: str
    """What the network does, in a line."""
    licence: str
    """Of the official weights."""
    convert: Callable[[Sequence[Path]], Converted]
    """Reads and checks the files; InvalidInput and NotFound name file, reason and remedy."""

    def __call__(self, paths: Sequence[Path]) -> Converted:
        """Convert files.

        Raises:
            InvalidInput: Their number is wrong, or one is damaged, hostile or of another format.
            NotFound: One does not exist.
        """
        least = len(self.inputs) - self.optional_inputs
        if len(paths) < least or (len(paths) > len(self.inputs) and not self.repeated):
            wanted = " and ".join(self.inputs)
            raise InvalidInput(f"{self.name} is converted from {wanted}; got {len(paths)} files", field="files")
        return self.convert(paths)
