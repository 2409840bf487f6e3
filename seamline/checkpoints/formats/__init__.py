"""Every published checkpoint format that can be converted, by its name on the command line."""

from collections.abc import Mapping
from typing import Final

from seamline.checkpoints.formats import ir_se50
from seamline.checkpoints.formats.format import Format

FORMATS: Final[Mapping[str, Format]] = {each.name: each for each in (ir_se50.FORMAT,)}

__all__ = ["FORMATS", "Format"]
