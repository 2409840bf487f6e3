"""Visibility: which triangle every subsample of the picture shows."""

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import in_eye, in_mouth
from training.renderer.mesh import CLOTH, HEAD, NECK
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@fast
def _may_open(s: Shape, d: Floats) -> bool:
    """Whether a head vertex with data `d` lies near the eyes' or the mouth's opening."""
    if abs(d[2]) > 1.4:
        return False
    eye = abs(d[1] - s.eye_y) < 0.24 and abs(abs(d[0]) - s.eye_x) < s.eye_w + 0.04
    return eye or (abs(d[0]) < s.mouth_w + 0.04 and abs(d[1] - s.mouth_y) < 0.45)


@fast
def visibility(
    s: Shape, xyz: Floats, data: Floats, triangles: Ints, owners: Ints, first: int, ids: Ints, depth: Floats
) -> None:
    """Draw `triangles` (numbered from `first`) into ids and depth (h, w).

    `xyz` (V, 3) holds subsample coordinates and 1/distance, which is linear on the screen.
    """
    height, width = ids.shape
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = xyz[i, 0], xyz[i, 1], xyz[j, 0], xyz[j, 1], xyz[k, 0], xyz[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        part = owners[t]
        if abs(area) < 1e-9 or (part == HEAD and area > 0.0):
            continue
        low_x = max(0, int(np.ceil(min(x0, x1, x2) - 0.5)))
        high_x = min(width - 1, int(np.floor(max(x0, x1, x2) - 0.5)))
        low_y = max(0, int(np.ceil(min(y0, y1, y2) - 0.5)))
        high_y = min(height - 1, int(np.floor(max(y0, y1, y2) - 0.5)))
        if low_x > high_x or low_y > high_y:
            continue
        if part == CLOTH and data[i, 0] > 0.0 and data[j, 0] > 0.0 and data[k, 0] > 0.0:
            continue
        if part == NECK and data[i, 0] < -0.2:  # under the clothes
            continue
        holes = part == HEAD and _may_open(s, data[i])
        inverse = 1.0 / area
        step_b = (y2 - y0) * inverse
        step_c = -(y1 - y0) * inverse
        for py in range(low_y, high_y + 1):
            dx, dy = low_x + 0.5 - x0, py + 0.5 - y0
            b = (dx * (y2 - y0) - (x2 - x0) * dy) * inverse
            c = ((x1 - x0) * dy - dx * (y1 - y0)) * inverse
            for px in range(low_x, high_x + 1):
                a = 1.0 - b - c
                if a >= -1e-9 and b >= -1e-9 and c >= -1e-9:
                    z = a * xyz[i, 2] + b * xyz[j, 2] + c * xyz[k, 2]
                    if z > depth[py, px]:
                        open_ = False
                        if holes:
                            u = a * data[i, 0] + b * data[j, 0] + c * data[k, 0]
                            v = a * data[i, 1] + b * data[j, 1] + c * data[k, 1]
                            open_ = in_eye(s, u, v) or in_mouth(s, u, v)
                        elif part == CLOTH:
                            open_ = a * data[i, 0] + b * data[j, 0] + c * data[k, 0] > 0.0
                        if not open_:
                            depth[py, px] = z
                            ids[py, px] = first + t
                b += step_b
                c += step_c
