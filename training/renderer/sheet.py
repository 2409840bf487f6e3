"""Contact sheet of the renderer: `python -m training.renderer.sheet --out sheet.png`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.renderer.camera import AlignedCamera
from training.renderer.parameters import ATTRIBUTES, INDEX, NAMES, sample, unstandardise
from training.renderer.render import Rendering, render

Image = NDArray[np.uint8]
_SWEEP = np.linspace(-2.0, 2.0, 7)
_COLOURS: Image = cv2.applyColorMap(np.arange(0, 247, 13, dtype=np.uint8)[:, None], cv2.COLORMAP_HSV)[:, 0]


def with_landmarks(rendering: Rendering) -> Image:
    """Return the picture (H, W, 3) with its 68 landmarks drawn."""
    out = rendering.image.copy()
    for x, y in rendering.landmarks:
        centre = (round((float(x) - 0.5) * 16), round((float(y) - 0.5) * 16))
        cv2.circle(out, centre, 20, (60, 255, 60), -1, cv2.LINE_AA, 4)
    return out


def with_parsing(rendering: Rendering) -> Image:
    """Return the picture (H, W, 3) blended with its classes' colours."""
    return (rendering.image // 3 + _COLOURS[rendering.parsing] // 3 * 2).astype(np.uint8)


def _label(image: Image, text: str) -> Image:
    out = image.copy()
    cv2.putText(out, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def contact_sheet(seed: int, size: int, rows: int, attributes: Sequence[str]) -> Image:
    """Return random faces, overlays, and one face swept over each attribute from -2 to +2 deviations."""
    camera, columns = AlignedCamera(), len(_SWEEP)
    faces = [render(p, camera, size) for p in sample(np.random.default_rng(seed), max(1, rows) * columns)]
    grid = [[f.image for f in faces[i : i + columns]] for i in range(0, len(faces), columns)]
    grid.append([with_landmarks(f) for f in faces[:columns]])
    grid.append([with_parsing(f) for f in faces[:columns]])
    neutral = np.zeros(len(NAMES), np.float32)
    worn = dict.fromkeys(("glasses", "hat", "earrings"), -1.0)
    plain = worn | {"beard": -0.8, "age": -1.2, "mouth_open": -1.2, "skin_tone": 0.8}
    for name, value in plain.items():
        neutral[INDEX[name]] = value
    for name in attributes:
        z = np.tile(neutral, (columns, 1))
        z[:, INDEX[name]] = _SWEEP
        images = [render(p, camera, size).image for p in unstandardise(z)]
        grid.append([_label(images[0], name), *images[1:]])
    return np.concatenate([np.concatenate(row, axis=1) for row in grid])


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=160, help="side of a face in pixels")
    parser.add_argument("--rows", type=int, default=3, help="rows of random faces")
    parser.add_argument("--attributes", nargs="*", default=list(ATTRIBUTES), choices=NAMES, metavar="NAME")
    options = parser.parse_args()
    sheet = contact_sheet(options.seed, options.size, options.rows, options.attributes)
    cv2.imwrite(str(options.out), sheet[..., ::-1])


if __name__ == "__main__":
    main()
