"""Ways to get an edited crop back into its frame, and the one of them that tuning does not do: Poisson blending."""

from enum import StrEnum

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from seamline.alignment import TrackGeometry
from seamline.errors import Precondition
from seamline.geometry import inverse_coefficients
from seamline.storage.framepack import Frames
from seamline_stitcher.masks import MaskConfig, Masks, scaled

Pixels = NDArray[np.uint8]


class Blend(StrEnum):
    """How an edited face gets back into its frame."""

    STITCH = "stitch"
    """Stitching tuning, then the parsing mask, feathered."""
    POISSON = "poisson"
    """Poisson blending inside the landmarks' outline."""
    FEATHER = "feather"
    """The edit as it is, inside the parsing mask, feathered."""
    PASTE = "paste"
    """The edit as it is, the whole crop."""


def outline(landmarks: NDArray[np.floating], quad: NDArray[np.floating], size: int, margin: int) -> Pixels:
    """The convex hull of a face's landmarks, in its crop.

    Args:
        landmarks: (68, 2) pixels of the frame.
        quad: (4, 2) corners of the crop in the frame.
        size: side of the crop in pixels.
        margin: how far to grow the hull, pixels of the crop.

    Returns:
        (size, size), 255 inside and 0 outside; 0 along the edges of the crop, which Poisson blending keeps.

    Raises:
        Precondition: the landmarks are not known: the alignment was imported.
    """
    if not np.isfinite(landmarks).all():
        raise Precondition(
            "Poisson blending needs the face's landmarks, which an imported alignment lacks; use stitch, feather or "
            "paste, or align the video here",
            field="options.blend",
        )
    affine = inverse_coefficients(quad, size)[:6].reshape(2, 3)  # both sides count from a pixel's corner
    points = (landmarks + 0.5) @ affine[:, :2].T + affine[:, 2] - 0.5
    hull = cv2.convexHull(np.rint(points.clip(-size, 2 * size)).astype(np.int32))
    mask = cv2.fillConvexPoly(np.zeros((size, size), np.uint8), hull, 255)
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1)))
    return np.pad(mask[1:-1, 1:-1], 1).astype(np.uint8, copy=False)


def outlines(geometry: TrackGeometry, place: slice, size: int, config: MaskConfig) -> Masks:
    """Masks of what Poisson blending pastes of some of a track's crops, of `size` pixels: the landmarks' hull, with a
    border as wide as that around a face.

    Raises:
        Precondition: as `outline`.
    """
    faces = list(zip(geometry.landmarks[place], geometry.quads[place], strict=True))
    content, full = (
        torch.from_numpy(np.stack([outline(landmarks, quad, size, margin) for landmarks, quad in faces]))[:, None] / 255
        for margin in (0, scaled(config.outer_dilation, size))
    )
    return Masks(content=content, border=full - content, full=full)


def poisson(edits: Frames, sources: Frames, masks: Pixels) -> Frames:
    """Keeps the edits' gradients inside the masks, and the sources outside (Pérez et al. 2003).

    Args:
        edits: (N, R, R, 3).
        sources: (N, R, R, 3).
        masks: (N, R, R), 0 or 255; where one is empty, the source stays.

    Returns:
        (N, R, R, 3), outside the masks exactly the sources.
    """
    return np.stack([_cloned(*crops) for crops in zip(edits, sources, masks, strict=True)])


def _cloned(edit: Pixels, source: Pixels, mask: Pixels) -> Pixels:
    left, top, width, height = cv2.boundingRect(mask)
    if min(width, height) < 3:  # OpenCV solves for what lies inside the outermost pixels
        return source
    center = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(edit, source, mask.copy(), center, cv2.NORMAL_CLONE)  # it works on the mask in place
    # It solves inside the mask's bounding box, and so also changes what lies between box and mask, if only a little.
    return np.where(mask[..., None] > 0, cloned, source).astype(np.uint8, copy=False)
