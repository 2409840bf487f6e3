"""All parts of a bust as one triangle mesh of fixed topology, posed by yaw, pitch and roll."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.renderer import accessories, hair, head, parts
from training.renderer.compiled import fast
from training.renderer.contours import smooth
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
HEAD, EYE_LEFT, EYE_RIGHT, MOUTH, EAR_LEFT, EAR_RIGHT, NECK, CLOTH, HAIR, HAT, EARRINGS, GLASSES = range(12)
"""Part numbers; left and right are the image's for a frontal head."""

_HOOP, _RIM = accessories.HOOP_STEPS, (accessories.RIM_STEPS, accessories.TEMPLE_STEPS)
_GRIDS: Final[tuple[tuple[int, int, int], ...]] = (
    (HEAD, len(head.LATITUDES), len(head.AZIMUTHS)),
    (EYE_LEFT, parts.EYE_SIDE, parts.EYE_SIDE),
    (EYE_RIGHT, parts.EYE_SIDE, parts.EYE_SIDE),
    (MOUTH, parts.MOUTH_SIDE, parts.MOUTH_SIDE),
    (EAR_LEFT, parts.EAR_RINGS, parts.EAR_SPOKES),
    (EAR_RIGHT, parts.EAR_RINGS, parts.EAR_SPOKES),
    (NECK, parts.BUST_ROWS, parts.BUST_COLUMNS),
    (CLOTH, parts.BUST_ROWS, parts.BUST_COLUMNS),
    (HAIR, hair.HAIR_ROWS, hair.HAIR_COLUMNS),
    (HAT, accessories.HAT_ROWS, accessories.HAT_COLUMNS),
    *((EARRINGS, steps, accessories.TUBE_SIDES) for steps in (_HOOP, _HOOP)),
    *((GLASSES, steps, accessories.TUBE_SIDES) for steps in (*_RIM, *_RIM, accessories.BRIDGE_STEPS)),
)


def _topology() -> tuple[Ints, Ints, Ints]:
    triangles, owners, starts, start = [], [], {}, 0
    for part, rows, columns in _GRIDS:
        k = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel() + start
        quads = np.stack([k, k + columns, k + 1, k + 1, k + columns, k + columns + 1], axis=1)
        if part == HAIR:  # diagonals mirrored like the strands, whose lengths shear the quads
            left = (k - start) % columns < columns // 2
            quads[left] = np.stack([k, k + columns, k + columns + 1, k, k + columns + 1, k + 1], axis=1)[left]
        triangles.append(quads.reshape(-1, 3))
        owners.append(np.full(2 * len(k), part))
        starts.setdefault(part, start)
        start += rows * columns
    return (
        np.concatenate(triangles).astype(np.int32),
        np.concatenate(owners).astype(np.int32),
        np.array([*starts.values(), start], np.int32),
    )


TRIANGLES, OWNERS, STARTS = _topology()
VERTICES: Final = int(STARTS[-1])
FIRSTS: Final = tuple(np.searchsorted(OWNERS, range(GLASSES + 2)).tolist())
"""First triangle of every part, and their number. What is worn is drawn over the bust in layers of their own."""


@fast
def fill(s: Shape, azimuths: Floats, latitudes: Floats, starts: Ints, points: Floats, data: Floats) -> None:
    """Write the unposed points (V, 3) and surface data (V, 5) of all parts."""
    a = starts
    head.fill_head(s, azimuths, latitudes, points[: a[1]], data[: a[1]])
    parts.fill_eye(s, -1.0, points[a[1] : a[2]], data[a[1] : a[2]])
    parts.fill_eye(s, 1.0, points[a[2] : a[3]], data[a[2] : a[3]])
    parts.fill_mouth(s, points[a[3] : a[4]], data[a[3] : a[4]])
    parts.fill_ear(s, -1.0, points[a[4] : a[5]], data[a[4] : a[5]])
    parts.fill_ear(s, 1.0, points[a[5] : a[6]], data[a[5] : a[6]])
    parts.fill_bust(s, 0.0, points[a[6] : a[7]], data[a[6] : a[7]])
    parts.fill_bust(s, 1.0, points[a[7] : a[8]], data[a[7] : a[8]])
    hair.fill_hair(s, points[a[8] : a[9]], data[a[8] : a[9]])
    accessories.fill_hat(s, points[a[9] : a[10]], data[a[9] : a[10]])
    accessories.fill_earrings(s, points[a[10] : a[11]], data[a[10] : a[11]])
    accessories.fill_glasses(s, points[a[11] :], data[a[11] :])


PIVOT: Final = np.array([0.0, -0.45, -0.15])


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Return the rotation (3, 3) of a head by angles in degrees: to the image's right, up, and clockwise."""
    a, b, c = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    tilt = np.array([[np.cos(c), np.sin(c), 0], [-np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return tilt @ turn @ nod


@fast
def pose(points: Floats, bust: int, bust_end: int, turned: Floats, chest: Floats, pivot: Floats) -> None:
    """Rotate points in place: the head by `turned`, the chest by `chest`, the neck in between."""
    for k in range(len(points)):
        w = smooth(-1.32, -0.80, points[k, 1]) if bust <= k < bust_end else 1.0
        p0, p1, p2 = points[k, 0] - pivot[0], points[k, 1] - pivot[1], points[k, 2] - pivot[2]
        for c in range(3):
            head_c = turned[c, 0] * p0 + turned[c, 1] * p1 + turned[c, 2] * p2
            body_c = chest[c, 0] * p0 + chest[c, 1] * p1 + chest[c, 2] * p2
            points[k, c] = w * head_c + (1.0 - w) * body_c + pivot[c]


@fast
def vertex_normals(points: Floats, triangles: Ints) -> Floats:
    """Return area-weighted unit normals (V, 3)."""
    normals = np.zeros_like(points)
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(len(points)):
        n = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-12
        for c in range(3):
            normals[v, c] /= n
    return normals
