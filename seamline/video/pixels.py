"""Between a decoder's pictures and upright RGB arrays.

The conversion rounds accurately and interpolates chroma in full, so that a frame which nobody edits comes
back with exactly its luma; the scaler's fast defaults darken each pass by one grey level.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

Rgb = npt.NDArray[np.uint8]

_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_UNSPECIFIED = 2
# H.273 matrix coefficients -> the scaler's name for them.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


@dataclass(frozen=True, kw_only=True)
class Colour:
    """How a video's numbers mean colours (H.273), as tagged in the file."""

    matrix: int = _UNSPECIFIED
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED
    full_range: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Colour":
        """The tags of a decoded frame. Pictures stored as RGB will be written as BT.709."""
        if frame.format.is_rgb:
            return cls(matrix=1, primaries=frame.color_primaries, transfer=frame.color_trc)
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        return cls(
            matrix=frame.colorspace,
            primaries=frame.color_primaries,
            transfer=frame.color_trc,
            full_range=full,
        )

    def scaler_matrix(self, width: int, height: int) -> Colorspace:
        """The matrix to convert with; as in players, untagged video is BT.709 from HD on, BT.601 below."""
        untagged = Colorspace.ITU709 if width >= 1280 or height > 576 else Colorspace.ITU601
        return _MATRICES.get(self.matrix, untagged)

    @property
    def range(self) -> ColorRange:
        """The range to convert with, and to tag."""
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG


def to_rgb(frame: VideoFrame) -> Rgb:
    """A decoded frame as it should be looked at: (H, W, 3) uint8 RGB, its display matrix applied."""
    colour = Colour.of(frame)
    rgb = (
        frame.reformat(
            format="rgb24",
            src_colorspace=colour.scaler_matrix(frame.width, frame.height),
            src_color_range=colour.range,
            dst_color_range=ColorRange.JPEG,
            interpolation=_SCALER,
        )
        if frame.format.name != "rgb24"
        else frame
    )
    return _upright(rgb.to_ndarray().astype(np.uint8, copy=False), *display_matrix(frame))


def from_rgb(rgb: Rgb, colour: Colour, layout: str) -> VideoFrame:
    """The inverse of `to_rgb` for an upright picture, in the pixel layout of the encoder."""
    height, width = rgb.shape[:2]
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
        format=layout,
        dst_colorspace=colour.scaler_matrix(width, height),
        src_color_range=ColorRange.JPEG,
        dst_color_range=colour.range,
        interpolation=_SCALER,
    )
    frame.colorspace, frame.color_range = colour.matrix, colour.range
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
    return frame


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d) of a frame: the stored pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift."""
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(side_data)[:36])
    # Only quarter turns and mirrors keep pixels pixels; a slanted matrix is taken for the nearest of them.
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def is_transposed(frame: VideoFrame) -> bool:
    """Whether the display matrix swaps width and height."""
    return display_matrix(frame)[0] == 0


def _upright(rgb: Rgb, a: int, b: int, c: int, d: int) -> Rgb:
    if a == 0:
        rgb = rgb.swapaxes(0, 1)
    return np.ascontiguousarray(rgb[:: b + d, :: a + c])
