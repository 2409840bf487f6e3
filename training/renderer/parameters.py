"""The schema of the rendered faces: named scalar parameters, how they are drawn, and their standard scores.

Every parameter is continuous and drawn independently of all others, so that a direction fitted on one of them
carries nothing of another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Group = Literal["identity", "attribute", "expression", "pose", "light", "scene"]
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One scalar of a face and its distribution in training."""

    name: str
    group: Group
    low: float
    """Smallest rendered value; smaller ones are clipped."""
    high: float
    """Largest rendered value; larger ones are clipped."""
    meaning: str
    """What low and high look like."""
    at_low: float = 0.0
    """Probability of exactly `low` (an absent beard, no glasses)."""
    at_high: float = 0.0
    """Probability of exactly `high`."""
    bell: bool = False
    """Drawn from a symmetric bell over the range instead of uniformly."""
    skew: float = 1.0
    """Above 1, high values are likelier than low ones."""
    fixed: float | None = None
    """Value in training of a parameter that only videos move."""

    def quantile(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map uniform numbers `u` in [0, 1) of any shape to values; the inverse distribution function."""
        if self.fixed is not None:
            return np.full_like(u, self.fixed)
        inner = np.clip((u - self.at_low) / (1.0 - self.at_low - self.at_high), 0.0, 1.0)
        inner = 1.0 - (1.0 - inner) ** self.skew
        if self.bell:  # the distribution function of a raised cosine, inverted by table
            grid = np.linspace(0.0, 1.0, 513)
            inner = np.interp(inner, grid - np.sin(2.0 * np.pi * grid) / (2.0 * np.pi), grid)
        return self.low + (self.high - self.low) * inner


def _bell(name: str, group: Group, meaning: str, low: float = -1.0, high: float = 1.0) -> Parameter:
    return Parameter(name=name, group=group, low=low, high=high, meaning=meaning, bell=True)


def _flat(
    name: str, group: Group, meaning: str, low: float = -1.0, high: float = 1.0, *,
    at_low: float = 0.0, at_high: float = 0.0,
) -> Parameter:  # fmt: skip
    return Parameter(
        name=name, group=group, low=low, high=high, meaning=meaning, at_low=at_low, at_high=at_high
    )


PARAMETERS: Final[tuple[Parameter, ...]] = (
    _bell("face_width", "identity", "narrow to wide"),
    _bell("face_length", "identity", "short to long lower face"),
    _bell("jaw_width", "identity", "pointed to square jaw"),
    _bell("chin_size", "identity", "receding to strong chin"),
    _bell("cheek_fullness", "identity", "hollow to full cheeks"),
    _bell("nose_length", "identity", "short to long nose"),
    _bell("nose_width", "identity", "narrow to wide nose"),
    _bell("nose_height", "identity", "flat to protruding nose"),
    _bell("eye_size", "identity", "small to large eyes"),
    _bell("eye_spacing", "identity", "close to wide-set eyes"),
    _bell("eye_tilt", "identity", "outer corners down to up"),
    _bell("lip_fullness", "identity", "thin to full lips"),
    _bell("lip_redness", "identity", "skin-coloured to red lips"),
    _bell("mouth_width", "identity", "narrow to wide mouth"),
    _bell("brow_thickness", "identity", "thin to bushy brows"),
    _bell("brow_arch", "identity", "straight to arched brows"),
    _bell("ear_size", "identity", "small to large ears"),
    _flat("skin_tone", "identity", "dark to light skin", 0.0, 1.0),
    _bell("skin_warmth", "identity", "cool to warm skin"),
    _flat("eye_colour", "identity", "brown over green to blue irises", 0.0, 1.0),
    _bell("hair_hue", "identity", "ash to red hair"),
    _bell("hair_volume", "identity", "flat to voluminous hair"),
    _bell("hair_wave", "identity", "straight to wavy hair", 0.0, 1.0),
    _bell("hair_part", "identity", "hair swept to the image's left or right"),
    _flat("fringe", "identity", "free forehead to full fringe", 0.0, 1.0),
    _flat("gender", "identity", "feminine to masculine"),
    _flat("age", "attribute", "young to old: wrinkles, sag, grey hair", 0.0, 1.0),
    _flat("glasses", "attribute", "none to dark, fully visible frames", 0.0, 1.0, at_low=0.5, at_high=0.35),
    _bell("glasses_shape", "attribute", "round to rectangular frames", 0.0, 1.0),
    _flat("beard", "attribute", "shaven to full beard", 0.0, 1.0, at_low=0.5),
    _flat("hair_length", "attribute", "bald over short to shoulder-long hair", 0.0, 1.0),
    _flat("hair_colour", "attribute", "black over brown to light blond hair", 0.0, 1.0),
    _flat("smile", "expression", "mouth corners down to wide toothy smile", -0.6, 1.0),
    _flat("mouth_open", "expression", "closed to wide open mouth", 0.0, 1.0, at_low=0.3),
    Parameter(
        name="eyes_open", group="expression", low=0.0, high=1.2, skew=2.2, meaning="shut to wide open eyes"
    ),
    _bell("brow_raise", "expression", "lowered to raised brows"),
    _bell("brow_frown", "expression", "inner brows up (worried) to down (angry)"),
    _bell("gaze_x", "expression", "looking to the image's left or right"),
    _bell("gaze_y", "expression", "looking down or up"),
    _bell("pucker", "expression", "relaxed to rounded lips", 0.0, 1.0),
    _flat("yaw", "pose", "degrees; turned to the image's left or right", -25.0, 25.0),
    _flat("pitch", "pose", "degrees; looking down or up", -14.0, 14.0),
    Parameter(
        name="roll",
        group="pose",
        low=-30.0,
        high=30.0,
        fixed=0.0,
        meaning="degrees; head tilted to the image's left or right (videos only)",
    ),
    _flat("light_azimuth", "light", "key light from the image's left or right"),
    _bell("light_elevation", "light", "key light from below eye level to above", 0.0, 1.0),
    _bell("light_intensity", "light", "dim to bright"),
    _bell("light_warmth", "light", "cold to warm"),
    _flat("background_lightness", "scene", "OKLab lightness at one end", 0.32, 0.85),
    _bell("background_a", "scene", "OKLab green to red", -0.07, 0.07),
    _bell("background_b", "scene", "OKLab blue to yellow", -0.07, 0.07),
    _bell("background_contrast", "scene", "lightness difference of the other end", -0.22, 0.22),
    _bell("background_a2", "scene", "OKLab green to red of the other end", -0.07, 0.07),
    _bell("background_b2", "scene", "OKLab blue to yellow of the other end", -0.07, 0.07),
    _flat("background_angle", "scene", "gradient direction, quarter turns from horizontal"),
    _flat("cloth_lightness", "scene", "OKLab lightness of the clothes", 0.25, 0.85),
    _bell("cloth_a", "scene", "OKLab green to red of the clothes", -0.06, 0.06),
    _bell("cloth_b", "scene", "OKLab blue to yellow of the clothes", -0.06, 0.06),
    _bell("collar", "scene", "high round to low neckline", 0.0, 1.0),
    _flat("hat", "attribute", "none to a knitted cap in the clothes' colour", 0.0, 1.0, at_low=0.7, at_high=0.15),
    _flat("earrings", "attribute", "none to large golden hoops", 0.0, 1.0, at_low=0.6, at_high=0.2),
)

NAMES: Final[tuple[str, ...]] = tuple(p.name for p in PARAMETERS)
INDEX: Final[Mapping[str, int]] = {name: i for i, name in enumerate(NAMES)}
ATTRIBUTES: Final[tuple[str, ...]] = (
    "smile", "mouth_open", "eyes_open", "age", "gender", "glasses", "beard", "hair_length", "hair_colour",
    "yaw", "pitch", "brow_raise", "brow_frown", "gaze_x", "pucker", "nose_length", "nose_width", "eye_size",
    "lip_fullness", "brow_thickness", "face_width", "fringe", "skin_tone", "hat", "earrings",
)  # fmt: skip
"""What a user may edit. More of it is the positive direction (see each `meaning`: low to high)."""

LOWS: Final[Floats] = np.array([p.low for p in PARAMETERS], np.float32)
HIGHS: Final[Floats] = np.array([p.high for p in PARAMETERS], np.float32)
_PROBES = (np.arange(8192) + 0.5) / 8192
_VALUES = np.stack([p.quantile(_PROBES) for p in PARAMETERS])
MEANS: Final[Floats] = _VALUES.mean(axis=1).astype(np.float32)
# a fixed parameter has no spread: its range stands in, so that the map stays invertible
STDS: Final[Floats] = np.array(
    [
        v.std() if p.fixed is None else (p.high - p.low) / 4.0
        for p, v in zip(PARAMETERS, _VALUES, strict=True)
    ],
    np.float32,
)


def group_indices(group: Group) -> NDArray[np.intp]:
    """Return the columns of the parameters in `group`."""
    return np.array([i for i, p in enumerate(PARAMETERS) if p.group == group], np.intp)


def sample(rng: np.random.Generator, count: int) -> Floats:
    """Draw raw parameters (count, P), each column independently from its training distribution."""
    u = rng.random((count, len(PARAMETERS)))
    return np.stack([p.quantile(u[:, i]) for i, p in enumerate(PARAMETERS)], axis=1).astype(np.float32)


def standardise(raw: Floats) -> Floats:
    """Map raw parameters (..., P) to z: zero mean and unit deviation per column in training."""
    return ((raw - MEANS) / STDS).astype(np.float32)


def unstandardise(z: Floats) -> Floats:
    """Map z (..., P) back to raw parameters; the inverse of `standardise`."""
    return (z * STDS + MEANS).astype(np.float32)
