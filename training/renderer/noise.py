"""Fixed smooth noise: textures that are the same on every face, so that parameters alone decide a picture."""

import numpy as np

from training.renderer.compiled import fast

_CELLS = 128
_LATTICE = np.random.default_rng(11).uniform(-1.0, 1.0, (_CELLS, _CELLS)).astype(np.float32)


@fast
def noise(u: float, v: float) -> float:
    """Value noise in [-1, 1] with cells of side 1, periodic in 128 cells."""
    i, j = int(np.floor(u)), int(np.floor(v))
    p, q = u - i, v - j
    p, q = p * p * (3.0 - 2.0 * p), q * q * (3.0 - 2.0 * q)
    i0, j0, i1, j1 = i & 127, j & 127, (i + 1) & 127, (j + 1) & 127
    low = _LATTICE[i0, j0] + (_LATTICE[i1, j0] - _LATTICE[i0, j0]) * p
    high = _LATTICE[i0, j1] + (_LATTICE[i1, j1] - _LATTICE[i0, j1]) * p
    return low + (high - low) * q


@fast
def band(frequency: float, footprint: float) -> float:
    """Return the share of noise of `frequency` cells a unit that a pixel `footprint` units wide can show."""
    q = 1.6 * frequency * footprint
    return np.exp(-q * q)


@fast
def spots(u: float, v: float, share: float) -> float:
    """Return the cover in [0, 1] of scattered round spots, up to one a cell; `share` of them are there."""
    i, j = int(np.floor(u)), int(np.floor(v))
    x = u - i - 0.5 - 0.28 * _LATTICE[i & 127, j & 127]
    y = v - j - 0.5 - 0.28 * _LATTICE[(i + 37) & 127, (j + 11) & 127]
    rare = 0.5 + 0.5 * _LATTICE[(i + 71) & 127, (j + 53) & 127]
    size = 0.13 + 0.06 * _LATTICE[(i + 19) & 127, (j + 83) & 127]
    there = min(1.0, max(0.0, 2.5 * (share - 0.6 * rare)))
    return there * np.exp(-(x * x + y * y) / (size * size))
