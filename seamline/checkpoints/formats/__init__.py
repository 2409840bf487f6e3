"""Every published checkpoint format that can be converted, by its name on the command line.

dlib's 68 landmarks need no conversion: its shape predictor comes with the package `face_recognition_models`, and the
landmark backend `dlib` reads it there (`pip install seamline[dlib]`).
"""

from collections.abc import Mapping
from typing import Final

from seamline.checkpoints.formats import (
    bisenet,
    clip,
    e4e,
    face_alignment,
    hyperstyle,
    ir_se50,
    latent_transformer,
    lpips_alex,
    rosinality,
    stit_directions,
    styleclip,
    stylegan2_ada,
)
from seamline.checkpoints.formats.format import Format

_ALL: Final = (
    stylegan2_ada.FORMAT,
    rosinality.FORMAT,
    e4e.FORMAT,
    bisenet.FORMAT,
    ir_se50.FORMAT,
    lpips_alex.FORMAT,
    face_alignment.S3FD,
    face_alignment.FAN4,
    hyperstyle.FORMAT,
    clip.FORMAT,
    styleclip.FORMAT,
    stit_directions.FORMAT,
    latent_transformer.FORMAT,
)

FORMATS: Final[Mapping[str, Format]] = {each.name: each for each in _ALL}

__all__ = ["FORMATS", "Format"]
