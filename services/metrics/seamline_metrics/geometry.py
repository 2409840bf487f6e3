"""Distances between landmarks that some edits must move: a second witness beside the attribute network."""

import torch
from torch import Tensor

NAMES = ("smile", "mouth_open", "eyes_open")
"""Columns of `face_geometry`, named as the edits that move them."""

_EYES = (slice(36, 42), slice(42, 48))
_MOUTH_CORNERS = [48, 54]
_LIP_MIDDLES = [51, 62, 66, 57]
_INNER_LIPS = (62, 66)
_LIDS = (([37, 38], [41, 40]), ([43, 44], [47, 46]))


def face_geometry(landmarks: Tensor) -> Tensor:
    """Measures faces in units of the distance between the eyes, in the head's own axes.

    smile: how far the mouth's corners lie apart, plus how high they lie above the middle of the lips.
    mouth_open: the gap between the inner lips. eyes_open: the gap between the lids, mean of both eyes.

    Args:
        landmarks: (B, 68, 2) x, y in any unit.

    Returns:
        (B, 3), columns as in `NAMES`.
    """
    left, right = (landmarks[:, eye].mean(dim=1) for eye in _EYES)
    across = right - left
    span = across.norm(dim=1, keepdim=True).clamp_min(1e-6)
    across = across / span
    up = torch.stack([across[:, 1], -across[:, 0]], dim=1)  # y grows downwards in images

    def along(vector: Tensor, axis: Tensor) -> Tensor:
        return (vector * axis).sum(dim=1) / span[:, 0]

    corners = landmarks[:, _MOUTH_CORNERS]
    lift = along(corners.mean(dim=1) - landmarks[:, _LIP_MIDDLES].mean(dim=1), up)
    width = along(corners[:, 1] - corners[:, 0], across)
    upper_lip, lower_lip = (landmarks[:, index] for index in _INNER_LIPS)
    lids = [
        along(landmarks[:, upper].mean(dim=1) - landmarks[:, lower].mean(dim=1), up) for upper, lower in _LIDS
    ]
    return torch.stack([width + lift, along(upper_lip - lower_lip, up), (lids[0] + lids[1]) / 2], dim=1)
