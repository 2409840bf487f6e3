"""Hair as one sculpted sheet of strands from the crown to the hairline or, where long, hanging down."""

import numpy as np
from numpy.typing import NDArray

from training.renderer.compiled import fast
from training.renderer.contours import smooth
from training.renderer.hairline import hair_end, hat_brim
from training.renderer.head import TOP, base
from training.renderer.shape import Shape

Floats = NDArray[np.float64]
HAIR_ROWS = 44
HAIR_COLUMNS = 131
# columns are dense where front strands give way to long side strands
_SPREAD = np.array([0.0, 0.26, 0.62, 1.0])
_AZIMUTHS = np.array([0.0, 0.92, 1.42, np.pi])


@fast
def fill_hair(s: Shape, points: Floats, data: Floats) -> None:
    """Write points (R*C, 3) and data (R*C, 5): azimuth, share of the strand, length left, height."""
    quarter = 0.5 * np.pi
    for j in range(HAIR_COLUMNS):
        q = 2.0 * j / (HAIR_COLUMNS - 1) - 1.0
        azimuth = np.sign(q) * np.interp(abs(q), _SPREAD, _AZIMUTHS)
        end = hair_end(s, azimuth)
        total = quarter - np.arcsin(end / TOP) if end > 0.0 else quarter - end
        for i in range(HAIR_ROWS):
            share = i / (HAIR_ROWS - 1)
            share = 1.0 - (1.0 - share) ** 1.25
            along = share * total
            latitude = quarter - along
            k = i * HAIR_COLUMNS + j
            _strand(s, azimuth, latitude, along, total, points[k])
            data[k, 0], data[k, 1], data[k, 2], data[k, 3] = azimuth, share, total - along, points[k, 1]


@fast
def _strand(s: Shape, azimuth: float, latitude: float, along: float, total: float, out: Floats) -> None:
    """Write the point of a strand `along` its `total` length."""
    if latitude >= 0.0:
        x, y, z = base(s, azimuth, max(latitude, 1e-3))
    else:
        y = latitude
        x, _, z = base(s, azimuth, -np.arcsin(min(0.96, -y / 0.95)) / 1.25)
        hx, _, hz = base(s, azimuth, 0.0)
        hang = smooth(0.05, 0.45, s.hair_long)
        drop = 1.0 + 0.05 * s.hair_volume / 0.12 * -y - 0.10 * max(0.0, -y - 0.5)
        x += (hx * drop - x) * hang
        z += (hz * drop * (1.0 - 0.1 * smooth(0.0, 0.6, -y)) - z) * hang
    left = total - along
    edge = min(1.0, left / 0.20)
    round_off = np.sqrt(max(0.0, 1.0 - (1.0 - edge) ** 2))
    side = smooth(0.9, 1.4, abs(azimuth))
    thick = s.hair_volume * (0.75 + 0.35 * smooth(0.2, 0.9, y)) + 0.07 * s.hair_long * side
    thick *= 0.55 + 0.45 * smooth(0.0, 0.5, s.hair_long + 0.6 * s.fringe + 0.25)
    groove = np.exp(-(((azimuth - 0.55 * s.hair_part) / 0.16) ** 2)) * smooth(0.25, 0.6, along)
    thick *= 1.0 - 0.38 * groove * smooth(0.2, 0.4, y)
    wave = 0.034 * s.hair_wave * np.sin(along * 9.0 + 1.5 * np.sin(azimuth * 2.0)) * smooth(0.3, 1.0, along)
    lock = 0.017 * np.cos(azimuth * 11.0 + 0.6) * smooth(0.5, 1.3, along)
    # a buzz cut is an even layer, or patches of it would sink into the scalp
    grown = smooth(0.2, 0.9, s.hair)
    thick = 0.12 + (thick + wave + lock - 0.12) * grown
    offset = thick * round_off * s.hair - 0.035 * (1.0 - round_off) - 0.035 * (1.0 - s.hair)
    brim = hat_brim(s, azimuth)
    offset *= 1.0 - 0.85 * s.hat_cover * smooth(brim - 0.16, brim + 0.02, y)
    ux, uy, uz = x / 0.8, (y - 0.05) / 1.1 if y > 0.05 else 0.0, z / 0.9
    norm = np.sqrt(ux * ux + uy * uy + uz * uz) + 1e-6
    curl = 0.6 * wave * smooth(0.0, -0.4, y)
    out[0] = x + (offset + curl) * ux / norm
    out[1] = y + offset * uy / norm
    out[2] = z + offset * uz / norm
