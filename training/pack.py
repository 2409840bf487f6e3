"""Puts the trained generator, encoder and hypernetwork into the bundle: `python -m training.pack`.

The small networks go in when their training ends; `training.directions` adds the edits.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

from seamline.bundles import NetworkSource, put_defaults, put_network
from seamline.networks.e4e import E4eEncoder
from seamline.networks.hyperstyle import HyperStyle
from seamline.networks.stylegan2 import Generator
from training.command import LICENCE, RESOLUTION, open_bundle
from training.encoder import small_config
from training.generator import config_for
from training.hyperstyle import small_config as hyperstyle_config
from training.renderer.parameters import NAMES

INVERT = {
    "max_passes": 30,
    "learning_rate": 1.5e-3,
    "target_psnr_db": 34.0,
    "batch_size": 2,
    "seed": 1,
    "precision": "bfloat16",
    "pivot_learning_rate": 2e-2,
}
"""A small generator is tuned at a far higher rate than FFHQ's, and its codes spread wider."""
STITCH = {
    "max_steps": 40,
    "learning_rate": 3e-3,
    "style_learning_rate": 1e-2,
    "final_rate": 0.02,
    "content_weight": 0.1,
    "target_border_loss": 0.0008,
    "frames_together": 48,
    "batch_size": 4,
    "seed": 1,
    "precision": "bfloat16",
}
"""Most of the border's error is what the inversion cannot draw, hair above all, which takes many steps; falling rates
remove a tenth more of it than constant ones. At so high a rate STIT's content weight of 0.01 would let go of the edit;
0.1 keeps it."""


def put(bundle: Path, kind: str, module: nn.Module, weights: Path, config: object, command: str) -> None:
    """Load weights into a network and put it into the bundle."""
    module.load_state_dict(torch.load(weights, weights_only=True))
    stored = asdict(config)  # pyright: ignore[reportArgumentType]  (every config is a dataclass)
    source = NetworkSource(module=module, config=stored, licence=LICENCE, source=f"python -m training.{command}")
    entry = put_network(bundle, kind, source)
    print(f"{entry.file}: {entry.size / 1e6:.2f} MB")


def main(
    bundle: Annotated[Path, typer.Option(help="Bundle to extend.")] = Path("bundles/avatar-256"),
    generator: Annotated[Path, typer.Option(help="Weights.")] = Path("runs/generator/generator-256.pt"),
    encoder: Annotated[Path, typer.Option(help="Weights.")] = Path("runs/encoder/encoder.pt"),
    hyperstyle: Annotated[Path, typer.Option(help="Weights.")] = Path("runs/hyperstyle/hyperstyle.pt"),
) -> None:
    """Put the networks and the tuning's defaults into BUNDLE; a network whose weights are not there is left."""
    open_bundle(bundle)
    generator_config, encoder_config = config_for(RESOLUTION, len(NAMES)), small_config(len(NAMES))
    if generator.exists():
        put(bundle, "generator", Generator(generator_config), generator, generator_config, "generator")
    if encoder.exists():
        put(bundle, "e4e", E4eEncoder(encoder_config), encoder, encoder_config, "encoder")
    if hyperstyle.exists():
        config = hyperstyle_config(generator_config)
        put(bundle, "hyperstyle", HyperStyle(config), hyperstyle, config, "hyperstyle")
    put_defaults(bundle, "invert", INVERT)
    put_defaults(bundle, "stitch", STITCH)


if __name__ == "__main__":
    typer.run(main)
