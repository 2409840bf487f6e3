"""What a user might type about a face, and of which rendered faces it is true.

A text is put together from facts ("smiling {}", "{} with glasses") around a noun, and stated in one of many ways
("a cropped photo of the {}"). As the facts of every rendered face are known, so is which faces a text fits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.renderer.parameters import HIGHS, LOWS, NAMES

Bools = NDArray[np.bool_]
T = TypeVar("T")
Columns = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Fact:
    """Something that holds of some faces, and how it is said of a noun."""

    holds: Callable[[Columns], Bools]
    """Which faces it holds of, given columns (N,) of raw parameters by name."""
    phrases: tuple[str, ...]


def _above(name: str, bound: float, *phrases: str) -> Fact:
    return Fact(lambda p: p[name] > bound, phrases)


def _below(name: str, bound: float, *phrases: str) -> Fact:
    return Fact(lambda p: p[name] < bound, phrases)


def _hair(low: float, high: float, *phrases: str) -> Fact:
    """A colour of hair that is there, and not grey with age."""
    return Fact(
        lambda p: (
            (p["hair_length"] > 0.12) & (p["age"] <= 0.68) & (p["hair_colour"] > low) & (p["hair_colour"] <= high)
        ),
        phrases,
    )


def _eyes(low: float, high: float, colour: str) -> Fact:
    return Fact(
        lambda p: (p["eyes_open"] > 0.3) & (p["eye_colour"] > low) & (p["eye_colour"] <= high),
        (f"{{}} with {colour} eyes", f"{colour} eyed {{}}"),
    )


FACTS: Final[Mapping[str, Fact]] = {
    "man": _above("gender", 0.2, "male {}", "masculine {}"),
    "woman": _below("gender", -0.2, "female {}", "feminine {}"),
    "young": _below("age", 0.25, "young {}", "youthful {}", "young looking {}"),
    "middle-aged": Fact(lambda p: (p["age"] > 0.5) & (p["age"] < 0.78), ("middle-aged {}",)),
    "old": _above("age", 0.72, "old {}", "elderly {}", "aged {}", "{} with wrinkles", "wrinkled {}", "old looking {}"),
    "smiling": _above("smile", 0.4, "smiling {}", "{} with a smile", "happy {}", "{} smiling", "{} that is smiling"),
    "sad": _below("smile", -0.25, "sad {}", "unhappy {}", "{} looking sad", "sad looking {}"),
    "unsmiling": Fact(lambda p: abs(p["smile"]) < 0.2, ("serious {}", "neutral {}", "{} with a neutral expression")),
    "glasses": _above(
        "glasses", 0.5, "{} with glasses", "{} wearing glasses", "{} with eyeglasses", "{} with spectacles"
    ),
    "no glasses": _below("glasses", 0.1, "{} without glasses", "{} with no glasses", "{} not wearing glasses"),
    "hat": _above(
        "hat", 0.5, "{} with a hat", "{} wearing a hat", "{} in a hat", "{} with a cap", "{} with a knitted cap",
        "{} with a beanie",
    ),
    "no hat": _below("hat", 0.05, "{} without a hat", "{} with no hat", "bareheaded {}", "{} not wearing a hat"),
    "earrings": _above(
        "earrings", 0.4, "{} with earrings", "{} wearing earrings", "{} with golden earrings", "{} with hoop earrings"
    ),
    "no earrings": _below("earrings", 0.05, "{} without earrings", "{} with no earrings", "{} not wearing earrings"),
    "beard": _above("beard", 0.5, "{} with a beard", "bearded {}", "{} with a full beard", "{} with facial hair"),
    "stubble": Fact(lambda p: (p["beard"] > 0.2) & (p["beard"] <= 0.6), ("{} with stubble", "unshaven {}")),
    "no beard": _below("beard", 0.05, "{} without a beard", "beardless {}", "{} with no beard", "clean-shaven {}"),
    "bald": _below(
        "hair_length", 0.1, "bald {}", "{} without hair", "{} with a bald head", "{} with no hair", "hairless {}"
    ),
    "short hair": Fact(
        lambda p: (p["hair_length"] >= 0.1) & (p["hair_length"] < 0.42), ("{} with short hair", "short-haired {}")
    ),
    "medium hair": Fact(
        lambda p: (p["hair_length"] >= 0.42) & (p["hair_length"] < 0.68), ("{} with medium-length hair",)
    ),
    "long hair": _above("hair_length", 0.65, "{} with long hair", "long-haired {}", "{} with shoulder-length hair"),
    "black hair": _hair(-1, 0.2, "{} with black hair", "black-haired {}"),
    "dark hair": _hair(-1, 0.42, "{} with dark hair", "dark-haired {}"),
    "brown hair": _hair(0.2, 0.64, "{} with brown hair", "brunette {}", "brown-haired {}"),
    "blond hair": _hair(0.62, 1, "{} with blond hair", "{} with blonde hair", "blond {}", "blonde {}"),
    "grey hair": Fact(
        lambda p: (p["age"] > 0.68) & (p["hair_length"] > 0.12),
        ("{} with grey hair", "{} with gray hair", "grey-haired {}", "{} with white hair"),
    ),
    "wavy hair": Fact(
        lambda p: (p["hair_wave"] > 0.6) & (p["hair_length"] > 0.5), ("{} with wavy hair", "{} with curly hair")
    ),
    "straight hair": Fact(
        lambda p: (p["hair_wave"] < 0.35) & (p["hair_length"] > 0.5), ("{} with straight hair",)
    ),
    "fringe": Fact(
        lambda p: (p["fringe"] > 0.6) & (p["hair_length"] > 0.42),
        ("{} with a fringe", "{} with bangs"),
    ),
    "open mouth": _above("mouth_open", 0.5, "{} with an open mouth", "open-mouthed {}", "{} with the mouth open"),
    "closed mouth": _below("mouth_open", 0.1, "{} with a closed mouth", "{} with the mouth closed"),
    "pucker": _above("pucker", 0.7, "{} with rounded lips", "kissing {}", "{} with puckered lips"),
    "closed eyes": _below("eyes_open", 0.15, "{} with closed eyes", "sleeping {}", "{} with the eyes shut"),
    "wide eyes": _above("eyes_open", 1.05, "{} with wide open eyes"),
    "surprised": Fact(
        lambda p: (p["brow_raise"] > 0.25) & (p["mouth_open"] > 0.4) & (p["eyes_open"] > 0.7),
        ("surprised {}", "astonished {}", "{} looking surprised"),
    ),
    "raised brows": _above("brow_raise", 0.45, "{} with raised eyebrows", "{} with raised brows"),
    "angry": _above("brow_frown", 0.45, "angry {}", "frowning {}", "{} with a frown", "{} looking angry"),
    "worried": _below("brow_frown", -0.45, "worried {}", "anxious {}", "{} looking worried"),
    "full lips": _above("lip_fullness", 0.5, "{} with full lips", "{} with big lips"),
    "thin lips": _below("lip_fullness", -0.5, "{} with thin lips"),
    "long nose": _above("nose_length", 0.5, "{} with a long nose"),
    "short nose": _below("nose_length", -0.5, "{} with a short nose"),
    "wide nose": _above("nose_width", 0.5, "{} with a wide nose", "{} with a big nose"),
    "narrow nose": _below("nose_width", -0.5, "{} with a narrow nose", "{} with a small nose"),
    "bushy brows": _above("brow_thickness", 0.5, "{} with bushy eyebrows", "{} with thick eyebrows"),
    "thin brows": _below("brow_thickness", -0.5, "{} with thin eyebrows"),
    "large eyes": _above("eye_size", 0.5, "{} with large eyes", "{} with big eyes"),
    "small eyes": _below("eye_size", -0.5, "{} with small eyes"),
    "brown eyes": _eyes(-1, 0.35, "brown"),
    "green eyes": _eyes(0.35, 0.62, "green"),
    "blue eyes": _eyes(0.62, 1, "blue"),
    "dark skin": _below("skin_tone", 0.35, "{} with dark skin", "dark-skinned {}"),
    "tanned skin": Fact(lambda p: (p["skin_tone"] >= 0.35) & (p["skin_tone"] < 0.65), ("{} with tanned skin",)),
    "light skin": _above("skin_tone", 0.65, "{} with light skin", "light-skinned {}", "{} with pale skin", "pale {}"),
    "wide face": _above("face_width", 0.5, "{} with a wide face", "wide {}", "round {}", "{} with a round face"),
    "narrow face": _below("face_width", -0.5, "{} with a narrow face", "narrow {}", "thin {}"),
    "facing right": _above("yaw", 12, "{} facing right", "{} turned to the right"),
    "facing left": _below("yaw", -12, "{} facing left", "{} turned to the left"),
    "facing front": Fact(lambda p: abs(p["yaw"]) < 6, ("{} facing the camera", "{} facing forward")),
    "looking up": _above("pitch", 8, "{} looking up"),
    "looking down": _below("pitch", -8, "{} looking down"),
}  # fmt: skip
_NUMBER: Final = {name: number for number, name in enumerate(FACTS)}
_GENDERS: Final = {
    "man": ("man", "guy", "male", "gentleman", "man's face"),
    "woman": ("woman", "lady", "female", "woman's face"),
}
_NOUNS: Final = ("face", "face", "face", "person", "person", "portrait", "head", "human face", "human")
_MANNERS: Final = (
    "", "", "", "bad", "good", "cropped", "close-up", "bright", "dark", "blurry", "low resolution", "pixelated",
    "black and white", "jpeg corrupted",
)  # fmt: skip
_MEDIA: Final = (
    "photo", "photo", "photo", "rendering", "rendition", "picture", "image", "portrait", "painting", "drawing",
    "sketch", "sculpture", "cartoon", "doodle", "tattoo", "graffiti", "toy", "plushie", "origami", "embroidery",
    "plastic", "art", "itap",
)  # fmt: skip
_DETERMINERS: Final = (
    "a", "a", "a", "the", "the", "one", "my", "many", "a nice", "a clean", "a dirty", "a cool", "a weird", "a large",
    "a small", "a hard to see", "the origami", "the plastic", "the toy", "the embroidered", "the cartoon",
)  # fmt: skip
_TAILS: Final = ("", "", "", "", "", "in a video game", "in the picture")
_COUNTS: Final = (0,) + 7 * (1,) + 4 * (2,)
"""How many facts a prompt states."""
UNHEARD: Final = "xyzzy"
"""A word that no tokenizer is to know: what stands in its place must not matter."""


def facts(raw: NDArray[np.floating]) -> Bools:
    """Which facts (N, len(FACTS)) hold of raw parameters (N, P)."""
    columns = dict(zip(NAMES, np.clip(raw, LOWS, HIGHS).T, strict=True))
    return np.stack([fact.holds(columns) for fact in FACTS.values()], axis=1)


def prompt(holding: Bools, rng: np.random.Generator) -> tuple[str, Bools]:
    """Say up to two of the facts (F,) that hold of a face; seldom none at all.

    Returns:
        The text, and which facts (F,) it states.
    """
    said = np.zeros(len(FACTS), bool)
    noun = _pick(_NOUNS, rng)
    for gender, nouns in _GENDERS.items():
        if holding[_NUMBER[gender]] and rng.random() < 0.35:
            noun, said[_NUMBER[gender]] = _pick(nouns, rng), True
    true = np.flatnonzero(holding & ~said)
    chosen = rng.permutation(true)[: _pick(_COUNTS, rng)]
    said[chosen] = True
    return _stated(_phrase(noun, [int(number) for number in chosen], rng), rng), said


def _phrase(noun: str, chosen: list[int], rng: np.random.Generator) -> str:
    every = list(FACTS.values())
    for number in chosen:
        phrase = _pick(every[number].phrases, rng)
        if " with " in noun:
            phrase = phrase.replace("{} with ", "{} and ")
        noun = phrase.format(noun)
    return noun


def _stated(phrase: str, rng: np.random.Generator) -> str:
    """A phrase with an article, in a prompt, or as it is."""
    with_article = f"{article(phrase)} {phrase}"
    kind = rng.random()
    if kind < 0.2:
        return phrase
    if kind < 0.5:
        return with_article
    manner, medium, tail = (_pick(words, rng) for words in (_MANNERS, _MEDIA, _TAILS))
    # Prompts are made by putting phrases into frames, where articles may well meet.
    before = "" if rng.random() < 0.1 else _pick(_DETERMINERS, rng)
    words = ["a", manner, medium, "of", before, with_article if rng.random() < 0.3 else phrase, tail]
    if rng.random() < 0.1:
        words[_pick((1, 2, 4, 6), rng)] = UNHEARD
    return " ".join(word for word in words if word)


def _pick(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]  # ten times as fast as rng.choice


def article(phrase: str) -> str:
    """The indefinite article of a phrase."""
    return "an" if phrase[0] in "aeiou" else "a"


def every_wording() -> list[str]:
    """Texts that hold every word that prompts are made of."""
    words = [
        *_NOUNS,
        *_MANNERS,
        *_MEDIA,
        *_DETERMINERS,
        *_TAILS,
        *_GENDERS["man"],
        *_GENDERS["woman"],
        "an",
        "of",
        "and",
    ]
    return words + [phrase.format("face") for fact in FACTS.values() for phrase in fact.phrases]
