"""`tnet_<n>.pth.tar`: the latent transformers of Yao et al. 2021, one attribute of CelebA in each file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.inferred import shape_of
from seamline.checkpoints.formats.pinned import checked, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.errors import InvalidInput
from seamline.networks.latent_transformer import from_public

LICENCE: Final = "InterDigital Limited Software Evaluation License, non-commercial"
_CELEBA: Final = (
    "5_o_clock_shadow arched_eyebrows attractive bags_under_eyes bald bangs big_lips big_nose black_hair blond_hair "
    "blurry brown_hair bushy_eyebrows chubby double_chin eyeglasses goatee gray_hair heavy_makeup high_cheekbones "
    "male mouth_slightly_open mustache narrow_eyes no_beard oval_face pale_skin pointy_nose receding_hairline "
    "rosy_cheeks sideburns smiling straight_hair wavy_hair wearing_earrings wearing_hat wearing_lipstick "
    "wearing_necklace wearing_necktie young"
)
CELEBA: Final = tuple(_CELEBA.split())
"""CelebA's attributes, by the number in the files' names."""
EDITS: Final = {"male": ("gender", 1), "mouth_slightly_open": ("mouth_open", 1), "smiling": ("smile", 1)} | {
    "young": ("age", -1)
}
"""What STIT's directions call them, and the sign that their strengths have there."""


def _convert(paths: Sequence[Path]) -> Converted:
    states: dict[str, dict[str, Tensor]] = {}
    for path in paths:
        name, sign = _edit(path)
        if name in states:
            raise InvalidInput(f"{path}: attribute {name} is given twice; give one file for each", path=path)
        states[name] = {key: sign * tensor for key, tensor in _state(path).items()}
    config, tensors = from_public(states)
    return Converted(
        kind="latent_transformer",
        config={"names": list(config.names), "num_ws": config.num_ws, "w_dim": config.w_dim},
        tensors=tensors,
        licence=LICENCE,
        source=", ".join(path.name for path in paths),
    )


def _edit(path: Path) -> tuple[str, int]:
    """Name of the attribute, and 1, or -1 where a strength means the opposite."""
    name = path.name.split(".")[0].lower()
    if number := re.fullmatch(r"tnet_(\d{1,2})", name):
        if int(number[1]) >= len(CELEBA):
            raise InvalidInput(f"{path}: CelebA has attributes 0 to {len(CELEBA) - 1}; name it tnet_<n>", path=path)
        name = CELEBA[int(number[1])]
    return EDITS.get(name, (name, 1))


def _state(path: Path) -> dict[str, Tensor]:
    found: Any = table(path, read_checkpoint(path), "the file")
    width = shape_of(path, found, "dense.0.bias", 1)[0]
    layers = sum(key.endswith(".bias") for key in found)
    wanted = {f"dense.{layer}.weight": torch.Size((width, width)) for layer in range(layers)}
    wanted |= {f"dense.{layer}.bias": torch.Size((width,)) for layer in range(layers)}
    return checked(path, found, wanted)


FORMAT: Final = Format(
    name="latent-transformer",
    inputs=("tnet_<n>.pth.tar, or NAME.pth.tar, of each attribute",),
    repeated=True,
    description="latent transformers (Yao et al. 2021), whose steps depend on the face",
    licence=LICENCE,
    convert=_convert,
)
