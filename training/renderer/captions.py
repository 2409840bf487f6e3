"""Short English descriptions of rendered faces, for a text encoder of the avatar domain."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.renderer.render import named

_Ranges = tuple[tuple[float, str], ...]

_HAIR_COLOURS: Final[_Ranges] = (
    (0.18, "black"), (0.42, "dark brown"), (0.62, "brown"), (0.8, "blond"), (1.0, "light blond"),
)  # fmt: skip
_LENGTHS: Final[_Ranges] = ((0.12, "shaved"), (0.42, "short"), (0.68, "medium-length"), (1.0, "long"))
_AGES: Final[_Ranges] = ((0.25, "young"), (0.55, ""), (0.75, "middle-aged"), (1.0, "old"))
_SKINS: Final[_Ranges] = ((0.35, "dark"), (0.65, "tanned"), (1.0, "light"))
_IRISES: Final[_Ranges] = ((0.35, "brown"), (0.62, "green"), (1.0, "blue"))


def _word(ranges: _Ranges, value: float) -> str:
    """Return the word of the first range that reaches `value`."""
    return next((word for top, word in ranges if value <= top), ranges[-1][1])


def _person(p: dict[str, float]) -> str:
    noun = "person" if abs(p["gender"]) < 0.2 else "man" if p["gender"] > 0 else "woman"
    age = _word(_AGES, p["age"])
    words = f"{age} {noun}".strip()
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def _hair(p: dict[str, float]) -> str:
    if p["hair_length"] < 0.06:
        return "a bald head"
    colour = "grey" if p["age"] > 0.68 else _word(_HAIR_COLOURS, p["hair_colour"])
    wave = "wavy " if p["hair_wave"] > 0.6 and p["hair_length"] > 0.5 else ""
    fringe = " and a fringe" if p["fringe"] > 0.6 and p["hair_length"] > 0.42 else ""
    return f"{_word(_LENGTHS, p['hair_length'])} {wave}{colour} hair{fringe}"


def _features(p: dict[str, float]) -> list[str]:
    """Return what is worth saying of the face, most visible first."""
    shut = p["eyes_open"] < 0.15
    facts = [
        (p["glasses"] > 0.5, "glasses"),
        (p["hat"] > 0.5, "a knitted cap"),
        (p["earrings"] > 0.4, "earrings"),
        (p["beard"] > 0.6, "a full beard"),
        (0.25 < p["beard"] <= 0.6, "stubble"),
        (p["mouth_open"] > 0.55, "an open mouth"),
        (shut, "closed eyes"),
        (p["brow_raise"] > 0.45, "raised eyebrows"),
        (p["brow_frown"] > 0.45, "a frown"),
        (p["lip_fullness"] > 0.5, "full lips"),
        (p["nose_length"] > 0.5, "a long nose"),
        (p["brow_thickness"] > 0.5, "bushy eyebrows"),
        (p["eye_size"] > 0.5 and not shut, "large eyes"),
        (not shut, f"{_word(_IRISES, p['eye_colour'])} eyes"),
        (True, f"{_word(_SKINS, p['skin_tone'])} skin"),
    ]
    return [phrase for holds, phrase in facts if holds]


def caption(params: NDArray[np.floating], rng: np.random.Generator) -> str:
    """Describe raw parameters (P,); `rng` chooses which of the true features are mentioned."""
    p = named(params)
    features = _features(p)
    kept = [f for f in [_hair(p), *features] if rng.random() < 0.7][:4]
    rng.shuffle(kept)
    subject = _person(p)
    mood = "smiling" if p["smile"] > 0.4 else "looking sad" if p["smile"] < -0.3 else ""
    turn = "facing right" if p["yaw"] > 12 else "facing left" if p["yaw"] < -12 else ""
    doing = ", ".join(w for w in (mood, turn) if w and rng.random() < 0.8)
    listed = " and ".join(part for part in (", ".join(kept[:-1]), *kept[-1:]) if part)
    return (
        f"a portrait of {subject}" + (f" with {listed}" if listed else "") + (f", {doing}" if doing else "")
    )
