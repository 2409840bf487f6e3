"""What styles learned from two texts do to faces that no step of the learning saw.

    nice python bench/styles.py [--bundle avatar-256] [--faces 40] [--strength 1] [--store file:///dir]
        [--strip docs/styles/styles.png] [--threads 2]

Every style is learned as the inverter's Restyle would, unless the store has it. The attribute network, which takes no
part in the learning, says how far the faces moved, and the identity network how much of the person is left. The strip
has the faces as they are, and a row for each style.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from seamline_inverter.style import Learned, learn
from seamline_inverter.style_adaptation import StyleConfig
from torch import Tensor

from seamline.bundles import Bundle, load_bundle
from seamline.editing.fit import random_codes
from seamline.editing.style import Style, planned_style
from seamline.job import Job
from seamline.networks import Generator
from seamline.networks.arcface import face_window
from seamline.networks.attributes import AttributeNetwork
from seamline.storage import Store, open_store
from seamline.tuning import compute, to_pixels
from seamline.v1.media_pb2 import TextStyle

SEED = 970_301
"""Of the faces; learning has others."""
TOGETHER = 8
SHOWN, SIZE, LABEL = 6, 88, 150
"""Faces of the strip, their side, and the width of the texts, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A style, and the attributes that it should move."""

    target: str
    attributes: dict[str, int]
    """Which way: 1 or -1."""
    neutral: str = "face"


CASES = (
    Case(target="old man with grey hair", attributes={"age": 1, "gender": 1}),
    Case(target="face with dark skin and black hair", attributes={"skin_tone": -1, "hair_colour": -1}),
    Case(target="pale woman with blond hair", attributes={"skin_tone": 1, "gender": -1, "hair_colour": 1}),
    Case(target="bald man with a beard", attributes={"hair_length": -1, "beard": 1, "gender": 1}),
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """N faces and what is seen on them."""

    pictures: Tensor
    """(N, 3, R, R) in [-1, 1]."""
    attributes: Tensor
    """(N, A), in standard deviations."""
    people: Tensor
    """(N, D), of unit length."""


def see(bundle: Bundle, generator: Generator, codes: Tensor) -> Seen:
    """Draws codes (N, L, w_dim) and looks at the pictures."""
    parts = []
    for part in codes.split(TOGETHER):
        with torch.no_grad(), compute(bundle.device, "bfloat16"):
            parts.append(generator.synthesis(part, "none").clamp(-1, 1))
    return Seen(
        pictures=torch.cat(parts),
        attributes=torch.cat([bundle.infer("attributes", part) for part in parts]),
        people=F.normalize(torch.cat([bundle.infer("identity", face_window(part)) for part in parts])),
    )


def learned(bundle: Bundle, style: Style, store: Store) -> tuple[Learned, float]:
    """What a bundle learns from a style's texts, and the seconds that it took now."""
    began = time.perf_counter()
    found = learn(store, bundle, style, StyleConfig(), Job("restyle"))
    return found, time.perf_counter() - began


def row(case: Case, bundle: Bundle, before: Seen, after: Seen, found: Learned, seconds: float) -> str:
    """A line of the table."""
    names = cast(AttributeNetwork, bundle.module("attributes")).config.names
    change = after.attributes - before.attributes
    moved = []
    for name, sign in case.attributes.items():
        own = change[:, names.index(name)]
        moved.append(f"{name} {own.mean():+.2f} ({100 * (sign * own > 0).float().mean():.0f} %)")
    others = change.mean(0).abs()
    others[[names.index(name) for name in case.attributes]] = 0
    identity = (before.people * after.people).sum(1).mean()
    leak = f"{others.max():.2f} {names[int(others.argmax())]}"
    figures = (f"{found.steps}", f"{found.loss:.2f}", f"{seconds:.0f} s", ", ".join(moved), leak, f"{identity:.2f}")
    return f"| {case.neutral} → {case.target} | {' | '.join(figures)} |"


def labelled(text: str, pictures: Tensor) -> np.ndarray:
    """A row of the strip: (SIZE, LABEL + N * SIZE, 3) uint8."""
    faces = to_pixels(F.interpolate(pictures[:SHOWN], (SIZE, SIZE), mode="area"))
    label = Image.new("RGB", (LABEL, SIZE), "white")
    words = text.split()
    lines = [" ".join(words[start : start + 3]) for start in range(0, len(words), 3)]
    ImageDraw.Draw(label).text((4, SIZE // 2 - 8 * len(lines)), "\n".join(lines), fill="black")
    return np.concatenate([np.asarray(label), *faces], axis=1)


def measure(bundle: Bundle, codes: Tensor, strength: float, store: Store, tell: Callable[[str], None]) -> np.ndarray:
    """Tells of every case, and returns the strip."""
    before = see(bundle, bundle.generator(), codes)
    rows = [labelled("as they are", before.pictures)]
    tell("| neutral → target | steps | loss | seconds | moved (the right way) | leakage | identity |")
    tell("|---|---|---|---|---|---|---|")
    for case in CASES:
        style = planned_style(TextStyle(neutral=case.neutral, target=case.target, strength=strength), bundle)
        found, seconds = learned(bundle, style, store)
        generator = bundle.generator()
        found.add_to(generator, style.strength)
        after = see(bundle, generator, codes)
        tell(row(case, bundle, before, after, found, seconds))
        rows.append(labelled(case.target, after.pictures))
    return np.concatenate(rows)


def main() -> None:
    """Learn, measure, print the table, draw the strip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="", help="name of an installed bundle")
    parser.add_argument("--faces", type=int, default=40)
    parser.add_argument("--strength", type=float, default=1.0, help="of every style")
    parser.add_argument("--store", default="", help="URL of a store that keeps what is learned")
    parser.add_argument("--strip", type=Path, help="PNG to draw the first faces to")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    bundle = load_bundle(asked.bundle)
    codes = random_codes(bundle, asked.faces, SEED)[:, None].expand(-1, bundle.num_ws, -1)
    with TemporaryDirectory() as directory:
        store = open_store(asked.store or Path(directory).as_uri())
        strip = measure(bundle, codes, asked.strength, store, lambda line: print(line, flush=True))
    if asked.strip:
        asked.strip.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(strip).quantize(256).save(asked.strip, optimize=True)


if __name__ == "__main__":
    main()
