"""`model_ir_se50.pth`: the identity network of InsightFace_Pytorch, which e4e, pSp and HyperStyle use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.pinned import checked, shapes_of
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint

LICENCE: Final = "MIT (code); trained on MS-Celeb-1M, research use"


def _convert(paths: Sequence[Path]) -> Converted:
    (path,) = paths
    tensors = checked(path, read_checkpoint(path), shapes_of("identity", {}))
    return Converted(kind="identity", tensors=tensors, licence=LICENCE, source=path.name)


FORMAT: Final = Format(
    name="ir-se50",
    inputs=("model_ir_se50.pth",),
    description="IR-SE50 face identity network (ArcFace)",
    licence=LICENCE,
    convert=_convert,
)
