"""Geometry of one face as plain numbers in head units, derived from its parameters.

Head units: the origin lies inside the skull at the eyes' height, x to the image's right, y up, z towards the
viewer of a frontal head; a head is about 2.3 units high.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Shape(NamedTuple):
    """What geometry and shading need to know of a face (a tuple of floats, which numba takes as it is)."""

    width: float
    lower: float
    jaw: float
    taper: float
    chin: float
    cheek: float
    eye_x: float
    eye_y: float
    eye_z: float
    eye_r: float
    eye_w: float
    eye_up: float
    eye_low: float
    eye_tilt: float
    eye_open: float
    gaze_x: float
    gaze_y: float
    lash: float
    brow_y: float
    brow_w: float
    brow_arch: float
    brow_slope: float
    brow_t: float
    ridge: float
    nose_y: float
    nose_w: float
    nose_h: float
    mouth_y: float
    mouth_w: float
    lift: float
    gap: float
    jaw_drop: float
    lip_up: float
    lip_low: float
    pucker: float
    smile: float
    frown: float
    raised: float
    age: float
    beard: float
    ear: float
    neck: float
    shoulder: float
    hair: float
    hair_long: float
    hair_volume: float
    hair_wave: float
    hair_part: float
    fringe: float
    hairline: float
    glasses: float
    glasses_e: float
    hat: float
    hat_cover: float
    earrings: float
    collar: float


def _smooth(low: float, high: float, x: float) -> float:
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)


def opacity(worn: float) -> float:
    """Opacity of what is worn: all of it from 0.4 on, so that it comes and goes without a jump."""
    return min(1.0, worn / 0.4)


def shape_of(p: Mapping[str, float]) -> Shape:
    """Derive the geometry of a face from its clipped raw parameters by name."""
    smile, opening, pucker, gender, age = p["smile"], p["mouth_open"], p["pucker"], p["gender"], p["age"]
    grin = max(0.0, smile)
    eye_size = 1.0 + 0.16 * p["eye_size"] - 0.05 * gender - 0.05 * age
    eye_y = 0.0
    brow_lift = 0.085 * p["brow_raise"] + 0.025 * p["brow_arch"] - 0.02 * gender
    mouth_width = (0.265 + 0.04 * p["mouth_width"]) * (1.0 + 0.42 * max(0.0, smile) + 0.1 * min(0.0, smile))
    full = (1.0 + 0.38 * p["lip_fullness"] - 0.14 * gender - 0.28 * age) * (1.0 - 0.2 * grin + 0.35 * pucker)
    nose_y = -0.335 - 0.075 * p["nose_length"]
    mouth_y = -0.615 - 0.03 * p["nose_length"] - 0.02 * p["face_length"] + 0.02 * grin
    eye_r = 0.245 * (1.0 + 0.5 * (eye_size - 1.0))
    return Shape(
        width=0.80 + 0.065 * p["face_width"] + 0.025 * gender,
        lower=1.10 + 0.075 * p["face_length"] + 0.035 * gender + 0.03 * p["chin_size"] + 0.13 * opening,
        jaw=0.70 - 0.13 * p["jaw_width"] - 0.12 * gender,
        taper=0.17 - 0.05 * p["jaw_width"] - 0.075 * gender - 0.02 * p["cheek_fullness"],
        chin=0.10 + 0.05 * p["chin_size"] + 0.02 * gender,
        cheek=0.035 * p["cheek_fullness"] + 0.02 - 0.03 * age,
        eye_x=0.335 + 0.03 * p["eye_spacing"] + 0.012 * p["face_width"],
        eye_y=eye_y,
        eye_z=0.705 - eye_r,
        eye_r=eye_r,
        eye_w=0.178 * eye_size,
        eye_up=0.112 * eye_size,
        eye_low=0.074 * eye_size * (1.0 - 0.28 * grin),
        eye_tilt=0.026 * p["eye_tilt"] - 0.012 * age,
        eye_open=p["eyes_open"] * (1.0 - 0.1 * grin) * (1.0 - 0.1 * age),
        gaze_x=0.42 * p["gaze_x"],
        gaze_y=0.26 * p["gaze_y"],
        lash=0.5 - 0.45 * gender,
        brow_y=0.235 + 0.02 * p["eye_size"] + brow_lift,
        brow_w=0.215,
        brow_arch=0.035 + 0.03 * p["brow_arch"] + 0.02 * p["brow_raise"] - 0.01 * gender,
        brow_slope=0.05 * p["brow_frown"] - 0.012,
        brow_t=0.029 * (1.0 + 0.42 * p["brow_thickness"] + 0.40 * gender),
        ridge=0.03 + 0.025 * gender,
        nose_y=nose_y,
        nose_w=(0.118 + 0.028 * p["nose_width"] + 0.008 * gender) * (1.0 + 0.12 * grin),
        nose_h=0.235 + 0.05 * p["nose_height"] + 0.02 * p["nose_length"] + 0.015 * gender,
        mouth_y=mouth_y,
        mouth_w=mouth_width * (1.0 - 0.36 * pucker) * (1.0 - 0.1 * opening),
        lift=0.115 * smile,
        gap=0.27 * opening * (1.0 - 0.25 * pucker) + 0.085 * _smooth(0.15, 0.9, smile) * (1.0 - 0.6 * pucker),
        jaw_drop=0.13 * opening,
        lip_up=0.060 * full,
        lip_low=0.082 * full,
        pucker=pucker,
        smile=smile,
        frown=p["brow_frown"],
        raised=p["brow_raise"],
        age=age,
        beard=p["beard"],
        ear=1.0 + 0.2 * p["ear_size"] + 0.08 * age,
        neck=0.415 + 0.05 * gender,
        shoulder=1.55 + 0.14 * gender,
        hair=_smooth(0.04, 0.22, p["hair_length"]),
        hair_long=_smooth(0.30, 1.0, p["hair_length"]) * 0.75 + 0.25 * max(0.0, p["hair_length"] - 0.3) / 0.7,
        hair_volume=0.125 + 0.055 * p["hair_volume"],
        hair_wave=p["hair_wave"],
        hair_part=p["hair_part"],
        fringe=p["fringe"] * _smooth(0.15, 0.45, p["hair_length"]),
        hairline=0.05 * gender * age + 0.03 * age,
        glasses=p["glasses"],
        glasses_e=2.0 / (2.0 + 2.6 * p["glasses_shape"]),
        hat=p["hat"],
        hat_cover=opacity(p["hat"]),
        earrings=p["earrings"],
        collar=p["collar"],
    )
