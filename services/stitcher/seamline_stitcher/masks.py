"""Where an edited face may change the picture, where it must meet the source, and how it fades into it."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from seamline.bundles import Bundle

REFERENCE_SIZE = 1024
"""Crop side at which Stitch it in Time states its lengths."""
PARSING_SIZE = 512
"""Largest side at which crops are parsed (STIT)."""
PARSING_ENLARGED = 2
"""How far smaller crops are enlarged to be parsed: the network answers for every eighth pixel."""

TOP_FADE = 200
"""Length in pixels of the reference crop over which `faded` lets an edit come in from the crop's upper edge."""


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Lengths are pixels of a 1024 px crop and are scaled to smaller ones; defaults are those of STIT."""

    frame_border: int = 50
    """Width of the strip along the crop's edges in which the face itself must meet the source."""
    inner_dilation: int = 0
    """How far the face region grows before anything else."""
    outer_dilation: int = 50
    """Width of the border ring around the face region."""
    whole_border: bool = False
    """Whether all that is not face is border."""
    feather: int = 25
    """How far the pasted region shrinks before it is blurred over twice this length."""
    background: tuple[int, ...] = (0, 18, 16)
    """Parsing classes that are not face: background, hat, cloth."""
    edited_background: tuple[int, ...] = (0, 16)
    """The same of the edited crops: a hat that is drawn is part of the edit."""


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Masks of N crops, (N, 1, R, R) float32 in 0..1."""

    content: Tensor
    """The inner region, where the edit is kept."""
    border: Tensor
    """The ring, where source and edit must agree."""
    full: Tensor
    """Both: what is pasted, before feathering."""
    common: Tensor | None = None
    """What is face in the source and in the edited crop, where both were parsed."""


def scaled(length: int, size: int) -> int:
    """A length of the reference crop in a crop of `size` pixels."""
    return round(length * size / REFERENCE_SIZE)


def parse(bundle: Bundle, crops: Tensor, config: MaskConfig, edited: Tensor | None = None) -> Masks:
    """Masks of source crops (N, 3, R, R), parsed at 512 px as in STIT, or at twice their side if that is less.

    Args:
        bundle: has the parsing network.
        crops: (N, 3, R, R) in [-1, 1].
        config: lengths and classes.
        edited: the same faces as edited; what is face there belongs to the region too, or longer hair would be cut off
            where the source's ends.
    """
    return face_masks(
        _classes(bundle, crops),
        crops.shape[-1],
        config,
        None if edited is None else _classes(bundle, edited.clamp(-1, 1)),
    )


def _classes(bundle: Bundle, crops: Tensor) -> Tensor:
    """Parsing classes (N, 1, P, P) of crops (N, 3, R, R)."""
    size = crops.shape[-1]
    side = min(PARSING_ENLARGED * size, PARSING_SIZE)
    mode = "nearest" if side < size else "bilinear"
    return bundle.infer("parsing", crops if side == size else F.interpolate(crops, (side, side), mode=mode))


def face_masks(classes: Tensor, size: int, config: MaskConfig, edited: Tensor | None = None) -> Masks:
    """Masks from a parsing of the source crops.

    Args:
        classes: of every pixel, (N, 1, P, P).
        size: side R of the crops.
        config: lengths and classes.
        edited: the same of the edited crops, where the face may be there as well.
    """
    face, common = _face(classes, config.background), None
    if edited is not None:
        drawn = _face(edited, config.edited_background)
        face, common = torch.maximum(face, drawn), _resize(torch.minimum(face, drawn), size)
    side = face.shape[-1]
    content, border, full = split_region(
        face,
        frame_border=scaled(config.frame_border, side),
        inner=scaled(config.inner_dilation, side),
        outer=scaled(config.outer_dilation, side),
        whole=config.whole_border,
    )
    content, border, full = (_resize(mask, size) for mask in (content, border, full))
    return Masks(content=content, border=border, full=full, common=common)


def _face(classes: Tensor, background: tuple[int, ...]) -> Tensor:
    return (~torch.isin(classes.long(), torch.tensor(background, device=classes.device))).float()


def whole_crops(crops: Tensor, config: MaskConfig) -> Masks:
    """Masks of crops (N, 3, R, R) that are pasted whole: the border is the strip along their edges."""
    region = torch.ones_like(crops[:, :1])
    strip = scaled(config.frame_border, crops.shape[-1])
    content, border, full = split_region(region, frame_border=strip, inner=0, outer=0, whole=False)
    return Masks(content=content, border=border, full=full)


def split_region(
    region: Tensor, *, frame_border: int, inner: int, outer: int, whole: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Divides a region and its surroundings as STIT does; lengths in pixels of the mask.

    Args:
        region: (N, 1, P, P), 0 or 1.
        frame_border: width of the strip along the edges of the picture.
        inner: dilation of the region itself.
        outer: dilation that makes the ring.
        whole: whether the ring is everything outside the region.

    Returns:
        Content, border and full mask, each like `region`.
    """
    grown = dilate(region, inner)
    full = dilate(grown, outer)
    strip = torch.ones_like(region)
    strip[..., frame_border : strip.shape[-2] - frame_border, frame_border : strip.shape[-1] - frame_border] = 0
    ring = 1 - grown if whole else full - grown
    border = torch.maximum(torch.minimum(strip, grown), ring).clamp(0, 1)
    return (region - border).clamp(0, 1), border, full


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Dilation with a square of side 2 radius + 1, along one axis after the other."""
    if radius == 0:
        return mask
    side = 2 * radius + 1
    rows = F.max_pool2d(mask, (side, 1), stride=1, padding=(radius, 0))
    return F.max_pool2d(rows, (1, side), stride=1, padding=(0, radius))


def feathered(full: Tensor, feather: int) -> NDArray[np.uint8]:
    """Opacity of the pasted crop: the full mask eroded, then blurred (STIT).

    Args:
        full: (N, 1, R, R), 0..1.
        feather: length in pixels of the reference crop.

    Returns:
        (N, R, R), 0..255, exactly 0 outside the full mask.
    """
    radius = scaled(feather, full.shape[-1])
    return np.stack([_feather(level, 2 * radius + 1) for level in to_levels(full)])


def faded(opacity: NDArray[np.uint8], common: Tensor) -> NDArray[np.uint8]:
    """Lets what is pasted come in smoothly from the crop's upper edge, over which hair reaches.

    An edit of it cannot go on beyond the crop: where it ends at once, a line is seen across the head. Where source or
    edit show no hair, nothing fades, or both outlines of a turned head would be seen.

    Args:
        opacity: (N, R, R), 0..255.
        common: (N, 1, R, R) in 0..1, where both show the face and its hair.

    Returns:
        (N, R, R), 0..255.
    """
    size = opacity.shape[-1]
    length = scaled(TOP_FADE, size)
    share = (np.arange(size) / length).clip(0, 1)
    missing = (1 - share**2 * (3 - 2 * share))[:, None]
    soft = np.stack([_inside(level, length) for level in to_levels(common)]) / 255
    return np.rint(opacity * (1 - missing * soft)).astype(np.uint8)


def _inside(level: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """Where a mask (R, R) is sure to be, seen along its rows; the crop's first rows, of which parsing is unsure, are
    filled from those below."""
    filled = cv2.morphologyEx(level, cv2.MORPH_CLOSE, np.ones((length // 2 + 1, 1), np.uint8))
    narrowed = cv2.erode(filled, np.ones((1, length // 4 + 1), np.uint8))
    return cv2.GaussianBlur(narrowed, (0, 0), length / 16).astype(np.uint8, copy=False)


def to_levels(mask: Tensor) -> NDArray[np.uint8]:
    """A mask (N, 1, R, R) in 0..1 as grey levels (N, R, R)."""
    return (mask[:, 0] * 255).round().to(torch.uint8).cpu().numpy()


def _feather(level: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    kernel = np.ones((side, side), np.uint8)
    eroded = cv2.erode(level, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.GaussianBlur(eroded, (side, side), 0).astype(np.uint8, copy=False)


def _resize(mask: Tensor, size: int) -> Tensor:
    if mask.shape[-1] == size:
        return mask
    return F.interpolate(mask, (size, size), mode="bilinear", align_corners=True)
