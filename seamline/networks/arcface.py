"""ArcFace identity network (Deng et al. 2019, arXiv:1801.07698), with the names of `model_ir_se50.pth`."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from seamline.errors import InvalidInput
from seamline.networks.ir_se import IrSeNetwork, Units
from seamline.networks.shapes import expect_shape

FACE_SIZE = 256
"""Side at which the network's window is cut out of an aligned face (pSp, e4e)."""
FACE_WINDOW = (slice(35, 223), slice(32, 220))
"""Rows and columns of the face in a 256-pixel FFHQ crop, without most hair and background."""
INPUT_SIZE = 112
"""Side of the window as the network sees it."""


def face_window(crops: Tensor) -> Tensor:
    """Cuts the identity network's input out of aligned crops.

    Args:
        crops: (B, 3, S, S) in [-1, 1], any S.

    Returns:
        (B, 3, 112, 112) in [-1, 1].
    """
    if crops.shape[-1] != FACE_SIZE:
        crops = F.interpolate(crops, (FACE_SIZE, FACE_SIZE), mode="bilinear", antialias=True, align_corners=False)
    rows, columns = FACE_WINDOW
    return F.adaptive_avg_pool2d(crops[:, :, rows, columns], INPUT_SIZE)


@dataclass(frozen=True, kw_only=True)
class ArcFaceConfig:
    """Sizes of an identity network; the defaults are those of IR-SE50."""

    input_size: int = INPUT_SIZE
    """Side of the face image in pixels, a multiple of 16."""
    width: int = 64
    """Channels of the first stage; the fourth has eight times as many."""
    units: Units = (3, 4, 14, 3)
    """Residual units of every stage."""
    embedding: int = 512
    """Length of the embedding."""
    dropout: float = 0.6
    """Share of features dropped in training."""

    def __post_init__(self) -> None:
        # A configuration file has lists.
        object.__setattr__(self, "units", tuple(self.units))
        if self.input_size < 16 or self.input_size % 16:
            raise InvalidInput(
                f"input_size must be a multiple of 16, got {self.input_size}", field="input_size"
            )


class ArcFace(IrSeNetwork):
    """Face image to an embedding whose cosine with another says whether both show the same person."""

    def __init__(self, config: ArcFaceConfig) -> None:
        super().__init__(config.width, config.units)
        self.config = config
        channels, side = config.width * 8, config.input_size // 16
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Dropout(config.dropout),
            nn.Flatten(),
            nn.Linear(channels * side * side, config.embedding),
            nn.BatchNorm1d(config.embedding),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embed faces.

        Args:
            images: (B, 3, S, S) in [-1, 1], S the config's input_size.

        Returns:
            (B, embedding) in float32, of unit length.
        """
        size = self.config.input_size
        expect_shape(images, (None, 3, size, size), "identity input (batch, rgb, height, width)")
        return F.normalize(self.output_layer(self.stages(images)[-1]).float(), dim=1)
