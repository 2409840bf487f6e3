"""Pictures for the face detector: any number of rendered heads, none included, in front of anything."""

from dataclasses import dataclass

import cv2
import numpy as np

from training.augment import photometric, warp_points
from training.data import Portraits
from training.landmarks import face_box

MOST_CLUTTER = 12


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """What scenes look like."""

    size: int = 160
    """Side in pixels."""
    smallest: float = 9.0
    """Longer side of the smallest face's box in pixels."""
    largest: float = 115.0
    """And of the largest."""
    faces: tuple[float, ...] = (0.2, 0.5, 0.2, 0.1)
    """Probabilities of 0, 1, 2, ... faces."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Draws scenes from portraits."""

    portraits: Portraits
    config: SceneConfig = SceneConfig()

    def draw(self, rng: np.random.Generator, faces: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """One scene.

        Returns:
            The picture (S, S, 3) and the boxes (n, 4) of its faces: left, top, right, bottom in pixels.
        """
        config = self.config
        picture = background(config.size, rng)
        count = int(rng.choice(len(config.faces), p=config.faces)) if faces is None else faces
        boxes: list[np.ndarray] = []
        # Small faces first, as if they were further away.
        sides = np.sort(np.exp(rng.uniform(np.log(config.smallest), np.log(config.largest), count)))
        for side in sides:
            picture, box = self._put(picture, boxes, float(side), rng)
            boxes += [] if box is None else [box]
        if not boxes and rng.random() < 0.3:
            picture = self._put_headless(picture, rng)
        return photometric(picture, rng), np.array(boxes, np.float32).reshape(-1, 4)

    def _put(
        self, picture: np.ndarray, boxes: list[np.ndarray], side: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Paste one head whose box's longer side is `side`, unless there is no room for it."""
        row = rng.integers(len(self.portraits), size=1)
        landmarks = self.portraits.rows("landmarks", row)[0]
        # A whole rendered picture behind the head now and then: its own background ends at the pasted edge.
        mask = (self.portraits.rows("parsing", row)[0] > 0) | (rng.random() < 0.15)
        for _ in range(8):
            matrix = self._placement(landmarks, side, rng)
            box = face_box(warp_points(landmarks, matrix))
            if not any(_touch(box, other) for other in boxes):
                return _paste(picture, self.portraits.rows("images", row)[0], mask, matrix), box
        return picture, None

    def _placement(self, landmarks: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
        box = face_box(landmarks)
        centre = (box[:2] + box[2:]) / 2 - 0.5
        scale = side / (box[2:] - box[:2]).max()
        degrees = rng.uniform(-25, 25) * rng.integers(2)
        matrix = cv2.getRotationMatrix2D(tuple(centre.tolist()), degrees, scale)
        low, high = (
            min(side * 0.45, 0.5 * self.config.size),
            max(self.config.size - side * 0.45, 0.5 * self.config.size),
        )
        matrix[:, 2] += rng.uniform(low, high, 2) - centre
        return matrix

    def _put_headless(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Paste hair, neck and clothes without a face: none of them makes one."""
        row = rng.integers(len(self.portraits), size=1)
        parsing = self.portraits.rows("parsing", row)[0]
        kept = rng.permutation([14, 16, 17])[: rng.integers(1, 4)]
        landmarks = self.portraits.rows("landmarks", row)[0]
        side = rng.uniform(self.config.smallest, self.config.largest)
        matrix = self._placement(landmarks, side, rng)
        return _paste(picture, self.portraits.rows("images", row)[0], np.isin(parsing, kept), matrix)


def _paste(picture: np.ndarray, image: np.ndarray, mask: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Lay the masked part of an image over a picture, both moved by a similarity, with a soft edge."""
    alpha = mask.astype(np.uint8) * 255
    scale = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    matrix = matrix.copy()
    while scale < 0.7:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image, alpha = (cv2.resize(part, half, interpolation=cv2.INTER_AREA) for part in (image, alpha))
        # Pixel i of the half-size picture has its centre at 2 i + 0.5 of the picture before.
        matrix[:, 2] += matrix[:, :2] @ np.full(2, 0.5)
        matrix[:, :2] *= 2
        scale *= 2
    size = (picture.shape[1], picture.shape[0])
    moved = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(alpha, matrix, size)[..., None].astype(np.float32) / 255
    return (picture + (moved.astype(np.float32) - picture) * weight).astype(np.uint8)


def _touch(box: np.ndarray, other: np.ndarray) -> bool:
    """Whether two boxes of over twice the size overlap: heads are larger than faces."""
    grow, grow_other = (box[2:] - box[:2]) * 0.6, (other[2:] - other[:2]) * 0.6
    low = np.maximum(box[:2] - grow, other[:2] - grow_other)
    high = np.minimum(box[2:] + grow, other[2:] + grow_other)
    return bool((high > low).all())


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A picture (size, size, 3) of no face: blotches of some scale, with clutter and grain."""
    picture = np.full((size, size, 3), rng.uniform(20, 235, 3), np.float32)
    for _ in range(rng.integers(1, 4)):
        cells = int(2 ** rng.uniform(1, 6))
        colours = 1 if rng.random() < 0.4 else 3
        blotches = rng.standard_normal((cells, cells, colours)).astype(np.float32)
        flags = (cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.random() < 0.25)]
        large = cv2.resize(blotches, (size, size), interpolation=flags).reshape(size, size, -1)
        picture += large * rng.uniform(5, 45)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, MOST_CLUTTER)):
        _clutter(picture, rng)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 2.0)) if rng.random() < 0.6 else picture


def _clutter(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Draw an ellipse, a box, a line or two dots, in any colour or that of skin."""
    size = picture.shape[0]
    skin = np.array([200, 150, 120]) * rng.uniform(0.3, 1.2)
    colour = (skin if rng.random() < 0.35 else rng.uniform(0, 255, 3)).clip(0, 255).tolist()
    x, y = rng.integers(0, size, 2).tolist()
    a, b = rng.integers(3, max(4, size // 3), 2).tolist()
    kind = rng.integers(4)
    if kind == 0:
        cv2.ellipse(picture, (x, y), (a, b), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    elif kind == 1:
        cv2.rectangle(picture, (x, y), (x + a, y + b), colour, int(rng.integers(-1, 4)))
    elif kind == 2:
        cv2.line(picture, (x, y), tuple(rng.integers(0, size, 2).tolist()), colour, int(rng.integers(1, 8)))
    else:
        for dx in (0, a):
            cv2.circle(picture, (x + dx, y), max(1, a // 5), colour, -1, cv2.LINE_AA)
