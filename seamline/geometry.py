"""Where the aligned face lies in the frame, cutting it out, and pasting it back.

A quad is the four corners of the crop in the frame, (4, 2) x and y in pixels, in the order top left, bottom
left, bottom right, top right. Whole numbers are pixel *centres*, as landmark detectors report them. Quads
here are parallelograms, so both ways between crop and frame are affine.

The alignment is that of FFHQ (Karras et al. 2019, appendix C) with the low-pass over time of Stitch it in
Time (Tzaban et al. 2022, section 4.1): it smooths the quad's centre and half axes, not the landmarks.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d

Floats = NDArray[np.floating]
Pixels = NDArray[np.uint8]

LEFT_EYE, RIGHT_EYE, MOUTH_CORNERS = slice(36, 42), slice(42, 48), (48, 54)
"""Indices into the 68 landmarks of iBUG 300-W; left and right as in the picture."""


def face_axes(landmarks: Floats) -> tuple[Floats, Floats, Floats]:
    """Centre and half axes of the FFHQ crop.

    Args:
        landmarks: (..., 68, 2) pixels.

    Returns:
        Centre c, half axis x (to the right of the face's picture) and y (down), each (..., 2) pixels.
    """
    points = np.asarray(landmarks, np.float64)
    left, right = points[..., LEFT_EYE, :].mean(-2), points[..., RIGHT_EYE, :].mean(-2)
    eyes = (left + right) / 2
    across = right - left
    down = points[..., MOUTH_CORNERS, :].mean(-2) - eyes
    x = across - _perpendicular(down)
    length = np.maximum(_norm(across) * 2.0, _norm(down) * 1.8)
    x = x / np.maximum(_norm(x), np.finfo(np.float64).tiny) * length
    return eyes + down * 0.1, x, _perpendicular(x)


def quads_from_axes(center: Floats, x: Floats, y: Floats) -> Floats:
    """(..., 4, 2) corners of the parallelogram with this centre and these half axes, each (..., 2)."""
    return np.stack([center - x - y, center - x + y, center + x + y, center + x - y], axis=-2)


def smooth_quads(landmarks: Floats, center_sigma: float = 1.0, axes_sigma: float = 3.0) -> Floats:
    """Quads of consecutive frames, low-passed over time.

    Args:
        landmarks: (n, 68, 2) pixels, one contiguous run of frames.
        center_sigma: Gaussian sigma in frames for the centre; 0 leaves it as it is.
        axes_sigma: Gaussian sigma in frames for both half axes; 0 leaves them as they are.

    Returns:
        (n, 4, 2) float64.
    """
    center, x, y = face_axes(landmarks)
    return quads_from_axes(
        _low_pass(center, center_sigma), _low_pass(x, axes_sigma), _low_pass(y, axes_sigma)
    )


def inverse_coefficients(quad: Floats, size: int) -> Floats:
    """PIL's eight PERSPECTIVE coefficients that take frame coordinates to crop coordinates.

    Both sides count from the corner of the first pixel. The last two coefficients are 0: the map is affine.
    """
    return np.append(_invert(_crop_to_frame(quad, size, corner=0.0)).ravel(), (0.0, 0.0))


def crop(frame: Pixels, quad: Floats, size: int) -> Pixels:
    """The face, upright, size × size.

    Samples bilinearly where PIL's QUAD transform does, rounding to nearest where PIL truncates. A quad of at
    least twice the crop's size is sampled more densely and averaged, so that fine texture does not alias.
    Outside the picture its border is repeated.

    Args:
        frame: (height, width, 3) uint8.
        quad: (4, 2) corners in the frame.
        size: side of the crop in pixels.
    """
    dense = size * max(1, int(_side(quad) / size))
    sampled = cv2.warpAffine(
        frame,
        _crop_to_frame(quad, dense),
        (dense, dense),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(_resized(sampled, size), np.uint8)


def paste(frame: Pixels, crop: Pixels, quad: Floats, mask: NDArray[np.floating] | Pixels) -> Pixels:
    """The frame with the crop blended in where the mask says; everywhere else the very same pixels.

    The crop is resampled bicubically onto the frame, averaged first where the quad is smaller than the crop.
    Work is limited to the quad's bounding box; what lies outside the picture is left out.

    Args:
        frame: (height, width, 3) uint8; not changed.
        crop: (size, size, 3) uint8.
        quad: (4, 2) corners in the frame.
        mask: (size, size) weight of the crop, float in [0, 1] or uint8 in 0..255.
    """
    result = frame.copy()
    box = _bounding_box(quad, frame.shape[1], frame.shape[0])
    if box is None:
        return result
    left, top, right, bottom = box
    weight = mask.astype(np.float32) / 255 if mask.dtype == np.uint8 else mask.astype(np.float32)
    fitted = min(len(crop), max(1, round(_side(quad))))
    to_crop = _invert(_crop_to_frame(quad, fitted))
    to_crop[:, 2] += to_crop[:, :2] @ (left, top)
    extent = (right - left, bottom - top)
    face = cv2.warpAffine(
        _resized(crop.astype(np.float32), fitted),
        to_crop,
        extent,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    weight = cv2.warpAffine(
        _resized(weight, fitted), to_crop, extent, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    region = result[top:bottom, left:right]
    touched = weight > 0
    source, alpha = region[touched].astype(np.float32), weight[touched, None]
    region[touched] = np.clip(np.rint(source + alpha * (face[touched] - source)), 0, 255).astype(np.uint8)
    return result


def paste_sampled(frame: Pixels, crop: Pixels, quad: Floats, mask: Pixels) -> Pixels:
    """The frame with the crop blended in where the mask says, as Stitch it in Time does it, to the bit.

    PIL samples crop and mask bilinearly, weighted by the mask and in whole grey levels; unlike `paste` it neither
    averages crops that are larger than their quad, nor sharpens.

    Args:
        frame: (height, width, 3) uint8; not changed.
        crop: (size, size, 3) uint8.
        quad: (4, 2) corners in the frame.
        mask: (size, size) weight of the crop, 0..255.
    """
    whole, face = (Image.fromarray(pixels).convert("RGBA") for pixels in (frame, crop))
    face.putalpha(Image.fromarray(mask))
    coefficients = inverse_coefficients(quad, len(crop)).tolist()
    whole.alpha_composite(
        face.transform(whole.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    )
    return np.asarray(whole.convert("RGB"))


def _low_pass(series: Floats, sigma: float) -> Floats:
    return gaussian_filter1d(series, sigma, axis=0, mode="reflect") if sigma > 0 else series


def _perpendicular(vector: Floats) -> Floats:
    """(x, y) turned a quarter from right to down: (-y, x)."""
    return np.stack([-vector[..., 1], vector[..., 0]], axis=-1)


def _norm(vector: Floats) -> Floats:
    return np.hypot(vector[..., 0], vector[..., 1])[..., None]


def _side(quad: Floats) -> float:
    """Mean side of the parallelogram, pixels."""
    return float((_norm(quad[3] - quad[0]) + _norm(quad[1] - quad[0])).item() / 2)


def _crop_to_frame(quad: Floats, size: int, corner: float = 0.5) -> Floats:
    """(2, 3) affine map from crop to frame.

    With corner 0.5 both sides are pixel indices, as OpenCV counts; with 0.0 both count from the first pixel's
    corner, as PIL does.
    """
    right, down = (quad[3] - quad[0]) / size, (quad[1] - quad[0]) / size
    origin = quad[0] + 0.5 + corner * (right + down) - corner
    return np.stack([right, down, origin], axis=1)


def _invert(affine: Floats) -> Floats:
    return np.asarray(cv2.invertAffineTransform(affine), np.float64)


def _resized(image: NDArray, size: int) -> NDArray:
    """Averaged down to size × size; the same array when it has that size."""
    return image if len(image) == size else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _bounding_box(quad: Floats, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom in whole pixels (right and bottom exclusive) inside the picture, or None."""
    left, top = np.maximum(np.floor(quad.min(0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(quad.max(0)).astype(int) + 3, (width, height))
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None
