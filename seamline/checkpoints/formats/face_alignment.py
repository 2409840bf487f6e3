"""face-alignment's `s3fd-619a316812.pth` and `2DFAN4-11f355bf06.pth.tar`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.inferred import fitting_shapes, shape_of
from seamline.checkpoints.formats.pinned import checked, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint

LICENCE: Final = "BSD-3-Clause (1adrianb/face-alignment)"


def _convert_s3fd(paths: Sequence[Path]) -> Converted:
    (path,) = paths
    state = table(path, read_checkpoint(path), "the file")
    config = {"width": shape_of(path, state, "conv1_1.weight", 4)[0]}
    tensors = checked(path, state, fitting_shapes(path, "s3fd", config))
    return Converted(kind="s3fd", config=config, tensors=tensors, licence=LICENCE, source=path.name)


def _convert_fan(paths: Sequence[Path]) -> Converted:
    (path,) = paths
    state = table(path, read_checkpoint(path), "the file")
    stacks = {int(match[1]) for key in state if (match := re.match(r"l(\d)\.weight", key))}
    config = {"stacks": len(stacks), "width": shape_of(path, state, "l0.weight", 4)[1]}
    tensors = checked(path, state, fitting_shapes(path, "fan4", config))
    return Converted(kind="fan4", config=config, tensors=tensors, licence=LICENCE, source=path.name)


S3FD: Final = Format(
    name="s3fd",
    inputs=("s3fd-619a316812.pth",),
    description="S3FD face detector, as face-alignment has it",
    licence=LICENCE,
    convert=_convert_s3fd,
)
FAN4: Final = Format(
    name="fan4",
    inputs=("2DFAN4-11f355bf06.pth.tar",),
    description="2DFAN-4 landmark network, as face-alignment has it",
    licence=LICENCE,
    convert=_convert_fan,
)
