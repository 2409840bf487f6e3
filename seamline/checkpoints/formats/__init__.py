"""Every published checkpoint format that can be converted, by its name on the command line."""

from collections.abc import Mapping
from typing import Final

from seamline.checkpoints.formats import clip, hyperstyle, ir_se50, latent_transformer, stit_directions, styleclip
from seamline.checkpoints.formats.format import Format

_MODULES: Final = (ir_se50, hyperstyle, clip, styleclip, stit_directions, latent_transformer)

FORMATS: Final[Mapping[str, Format]] = {module.FORMAT.name: module.FORMAT for module in _MODULES}

__all__ = ["FORMATS", "Format"]
