"""Pairs of pictures of which it is known which one is closer to a third."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from training.aligned import reduce
from training.data import Portraits

SIZE = 256
CANDIDATES = 24
Damage = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Judgements:
    """How many judgements, and which."""

    count: int
    seed: int = 0

    def draw(self, portraits: Portraits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reference, closer and further pictures, each (count, 256, 256, 3) uint8."""
        rng = np.random.default_rng((self.seed, 7))
        kinds = (stronger_damage, blur_against_shift_or_tint, nearer_parameters)
        chosen = rng.choice(len(kinds), self.count, p=(0.6, 0.25, 0.15))
        triples = [kinds[kind](portraits, rng) for kind in chosen]
        reference, better, worse = (np.stack(pictures) for pictures in zip(*triples, strict=True))
        return reference, better, worse


def portrait(portraits: Portraits, rng: np.random.Generator) -> np.ndarray:
    """A random portrait (256, 256, 3)."""
    return reduce(portraits.rows("images", rng.integers(len(portraits), size=1))[0], SIZE)


Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


def stronger_damage(portraits: Portraits, rng: np.random.Generator) -> Triple:
    """The same damage twice, once at least a third stronger."""
    reference = portrait(portraits, rng)
    damage = DAMAGES[rng.integers(len(DAMAGES))]
    strong = rng.uniform(0.2, 1.0)
    weak = strong * rng.uniform(0.2, 0.75)
    return reference, damage(reference, weak, rng), damage(reference, strong, rng)


def blur_against_shift_or_tint(portraits: Portraits, rng: np.random.Generator) -> Triple:
    """A shift of a pixel or two, or a slight tint, is better than a plain blur or smear."""
    reference = portrait(portraits, rng)
    mild = (shift, tint)[rng.integers(2)](reference, rng.uniform(0.1, 0.3), rng)
    return reference, mild, (blur, pixelate)[rng.integers(2)](reference, rng.uniform(0.5, 1.0), rng)


def nearer_parameters(portraits: Portraits, rng: np.random.Generator) -> Triple:
    """Of two other portraits the one whose face parameters are nearer."""
    rows = rng.choice(len(portraits), min(CANDIDATES, len(portraits)), replace=False)
    z = portraits.rows("z", rows)
    order = np.argsort(((z - z[0]) ** 2).sum(1))
    pictures = portraits.rows("images", rows[order[[0, 1, -1]]])
    first, near, far = (reduce(picture, SIZE) for picture in pictures)
    return first, near, far


def blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian of up to 5 px."""
    return cv2.GaussianBlur(image, (0, 0), 0.3 + 5 * strength)


def pixelate(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Down to a twelfth and back."""
    side = max(8, round(SIZE / (1 + 11 * strength)))
    return cv2.resize(reduce(image, side), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)


def noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of up to 40 grey levels."""
    return _clip(image + 40 * strength * rng.standard_normal(image.shape, np.float32))


def compress(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """JPEG from quality 70 down to 3."""
    quality = round(3 + 67 * (1 - strength) ** 2)
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)


def tint(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """One colour added all over, up to 50 grey levels long."""
    direction = rng.standard_normal(3)
    return _clip(image + 50 * strength * direction / np.linalg.norm(direction))


def shift(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Moved by up to 8 px."""
    angle, length = rng.uniform(0, 2 * np.pi), 8 * strength
    matrix = np.array([[1, 0, length * np.cos(angle)], [0, 1, length * np.sin(angle)]])
    return cv2.warpAffine(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)


def distort(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Smoothly warped by up to about 10 px."""
    field = rng.standard_normal((2, 6, 6)).astype(np.float32) * 6 * strength
    dx, dy = (cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for part in field)
    x, y = np.meshgrid(np.arange(SIZE, dtype=np.float32), np.arange(SIZE, dtype=np.float32))
    return cv2.remap(image, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _clip(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 255).astype(np.uint8)


DAMAGES: tuple[Damage, ...] = (blur, pixelate, noise, compress, tint, shift, distort)
