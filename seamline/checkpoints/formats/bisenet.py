"""`79999_iter.pth` of face-parsing.PyTorch, and BiSeNet V2 as CoinCheung's BiSeNet saves it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from seamline.bundles.manifest import ConfigValue
from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.inferred import fitting_shapes, shape_of
from seamline.checkpoints.formats.pinned import checked, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint

LICENCE: Final = "MIT (zllrunning/face-parsing.PyTorch); trained on CelebAMask-HQ, non-commercial"
SECOND: Final = "detail.S1.0.conv.weight"
"""Only the second version has it."""


def _convert(paths: Sequence[Path]) -> Converted:
    (path,) = paths
    state = table(path, read_checkpoint(path), "the file")
    config = _config(path, state)
    tensors = checked(path, state, fitting_shapes(path, "parsing", config))
    return Converted(kind="parsing", config=config, tensors=tensors, licence=LICENCE, source=path.name)


def _config(path: Path, state: Mapping[str, Any]) -> dict[str, ConfigValue]:
    if SECOND in state:
        first, last, version = SECOND, "head.conv_out.1.weight", 2
    else:
        first, last, version = "cp.resnet.conv1.weight", "conv_out.conv_out.weight", 1
    width, classes = shape_of(path, state, first, 4)[0], shape_of(path, state, last, 4)[0]
    return {"classes": classes, "width": width, "version": version}


FORMAT: Final = Format(
    name="bisenet",
    inputs=("79999_iter.pth",),
    description="BiSeNet face parsing, 19 classes; also BiSeNet V2",
    licence=LICENCE,
    convert=_convert,
)
