"""Measures every network of a bundle on people that no network has seen: `python -m training.evaluate`.

The portraits are rendered from seeds that training never uses. Weights are those of the bundle, in the
precision in which they are stored.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from seamline.bundles import Bundle, load_bundle
from seamline.networks.e4e import E4eEncoder
from seamline.networks.lpips import Lpips
from seamline.networks.stylegan2 import Generator
from training import attributes, detector, identity, landmarks, parsing, perceptual
from training.aligned import reduce, to_tensor
from training.command import POSE
from training.data import Portraits
from training.loop import single_core
from training.metrics import Floats, detail, psnr
from training.renderer.dataset import DatasetConfig, write_dataset

SEED = 970_001
"""First of the seeds of the evaluation's portraits; training uses small ones."""
SETS: Mapping[str, DatasetConfig] = {
    "aligned": DatasetConfig(count=300, seed=SEED, pose=POSE),
    "free": DatasetConfig(count=250, seed=SEED + 1, framing="free"),
    "people": DatasetConfig(count=70 * 12, seed=SEED + 2, per_identity=12, pose=POSE),
}
Figures = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The evaluation's portraits."""

    aligned: Portraits
    free: Portraits
    people: Portraits

    @classmethod
    def render(cls, root: Path) -> "HeldOut":
        """Render what is not in `root` yet."""
        for name, config in SETS.items():
            for _ in write_dataset(config, root / name):
                pass
        return cls(**{name: Portraits.all(root / name) for name in SETS})


def generator_figures(bundle: Bundle, held_out: HeldOut, count: int = 96) -> Figures:
    """PSNR of what the generator draws for known parameters, and its detail, both against the renderer's picture."""
    generator = cast(Generator, bundle.module("generator"))

    def draw(images: Tensor, z: Tensor) -> Tensor:
        return generator.synthesis(generator.mapping(z), "none")

    drawn, true = _side_by_side(draw, held_out.aligned, bundle.resolution, count)
    return {"psnr_db": float(psnr(drawn, true).mean()), "detail": detail(drawn) / detail(true)}


def encoder_figures(bundle: Bundle, held_out: HeldOut, count: int = 96) -> Figures:
    """PSNR of encoding a picture and drawing it again, before any tuning."""
    generator, encoder = cast(Generator, bundle.module("generator")), cast(E4eEncoder, bundle.module("e4e"))

    def draw(images: Tensor, z: Tensor) -> Tensor:
        side = encoder.config.input_size
        small = torch.nn.functional.interpolate(images, size=(side, side), mode="area")
        return generator.synthesis(bundle.infer("e4e", small) + bundle.latent_avg, "none")

    return {"inversion_psnr_db": float(psnr(*_side_by_side(draw, held_out.aligned, bundle.resolution, count)).mean())}


@torch.inference_mode()
def _side_by_side(
    draw: Callable[[Tensor, Tensor], Tensor], portraits: Portraits, size: int, count: int
) -> tuple[Floats, Floats]:
    """What is drawn, and the portraits (count, 3, size, size)."""
    drawn, true = [], []
    for rows in np.array_split(np.arange(count), count // 8):
        images = to_tensor(np.stack([reduce(image, size) for image in portraits.rows("images", rows)]))
        drawn.append(draw(images, torch.from_numpy(portraits.rows("z", rows))).numpy())
        true.append(images.numpy())
    return np.concatenate(drawn), np.concatenate(true)


MEASURES: Mapping[str, Callable[[Bundle, HeldOut], Figures]] = {
    "landmarks": lambda bundle, held: landmarks.evaluate(bundle.module("landmarks"), held.free),
    "detector": lambda bundle, held: detector.evaluate(bundle.module("detector"), held.free),
    "parsing": lambda bundle, held: parsing.evaluate(bundle.module("parsing"), held.aligned),
    "identity": lambda bundle, held: identity.evaluate(bundle.module("identity"), identity.People.of(held.people)),
    "attributes": lambda bundle, held: attributes.evaluate(bundle.module("attributes"), held.aligned),
    "perceptual": lambda bundle, held: perceptual.evaluate(cast(Lpips, bundle.module("perceptual")), held.aligned),
    "generator": generator_figures,
    "e4e": encoder_figures,
}


def measure(bundle: Bundle, held_out: HeldOut) -> dict[str, Figures]:
    """Figures of every network that the bundle has."""
    return {
        kind: dict(figures(bundle, held_out)) for kind, figures in MEASURES.items() if kind in bundle.manifest.networks
    }


def table(figures: Mapping[str, Figures]) -> str:
    """The figures as Markdown."""
    rows = [f"| {kind} | {name} | {value:.4g} |" for kind, own in figures.items() for name, value in own.items()]
    return "\n".join(["| network | figure | value |", "|---|---|---|", *rows])


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--bundle", default="avatar-256", help="name of an installed bundle")
    parser.add_argument("--work", type=Path, default=Path("runs/evaluation"), help="rendered portraits, JSON")
    asked = parser.parse_args()
    single_core()
    bundle = load_bundle(asked.bundle)
    figures = measure(bundle, HeldOut.render(asked.work))
    (asked.work / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
