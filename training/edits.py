"""Measures what the edits of a bundle do, for docs/edits.md: `python -m training.edits`.

The faces are others than those that the directions were fitted on and chosen by. Every edit is measured as its
direction does it and, where the bundle's latent transformer knows it, as that does it.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from seamline.bundles import Bundle, EditSpec, load_bundle
from seamline.editing import direction, latent_transformer
from seamline.editing.fit import random_codes
from seamline.editing.measure import EditFigures, figures, look
from seamline.editing.reading import Reader
from seamline.networks.latent_transformer import LatentTransformer
from training.directions import FACES, WANTED
from training.loop import single_core

SEED = 11
"""Of the faces that edits are measured on."""
WITNESSES = {wanted.name: wanted.witness for wanted in WANTED}


def measure(bundle: Bundle, linear: bool, faces: int = FACES) -> dict[str, EditFigures]:
    """Figures of the edits, as directions or the latent transformer do them."""
    reader = Reader(bundle)
    codes = random_codes(bundle, faces, SEED)[:, None].expand(-1, bundle.num_ws, -1)
    seen, found = reader.see(codes), {}
    for name, edit in bundle.edits.items():
        witness = WITNESSES.get(name, edit.attribute)
        if witness not in reader.names or not (linear or transforms(bundle, name)):
            continue

        def move(ws: torch.Tensor, strength: float, name: str = name) -> torch.Tensor:
            method = direction if linear else latent_transformer
            return method.moved(bundle, name, ws, torch.full((len(ws),), strength))

        stimulus = look(reader, codes, move, seen)
        found[name] = figures(reader, stimulus, witness)
    return found


def transforms(bundle: Bundle, name: str) -> bool:
    """Whether the bundle's latent transformer does an edit."""
    kind = latent_transformer.KIND
    network = bundle.module(kind) if bundle.has(kind) else None
    return isinstance(network, LatentTransformer) and name in network.config.names


def edits_table(edits: Mapping[str, EditSpec], found: Mapping[str, EditFigures]) -> str:
    """What the directions do, as Markdown."""
    lines = [
        "| edit | what it does | follow | effect at +2 | leakage | identity at ±2 |",
        "|---|---|---|---|---|---|",
    ]
    for name, own in found.items():
        what = f"[{name}](edits/{name}.png) | {edits[name].description} | {100 * own.monotone:.0f} %"
        shown = f"{own.strong_effect:+.2f} | {100 * own.leakage:.0f} % {own.leaks_into} | {own.identity:.2f}"
        lines.append(f"| {what} | {shown} |")
    return "\n".join(lines)


def comparison(linear: Mapping[str, EditFigures], transformed: Mapping[str, EditFigures]) -> str:
    """Direction and latent transformer side by side, as Markdown."""
    lines = [
        "| edit | effect per unit | leakage | identity at ±2 | follow |",
        "|---|---|---|---|---|",
    ]
    for name, other in transformed.items():
        own = linear[name]
        shown = (
            f"{own.effect:.2f} / {other.effect:.2f}",
            f"{100 * own.leakage:.0f} % / {100 * other.leakage:.0f} %",
            f"{own.identity:.2f} / {other.identity:.2f}",
            f"{100 * own.monotone:.0f} % / {100 * other.monotone:.0f} %",
        )
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print both tables and write the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m training.edits", description=__doc__)
    parser.add_argument("--bundle", default="avatar-256", help="name of an installed bundle")
    parser.add_argument("--out", type=Path, default=Path("runs/edits"), help="figures as JSON")
    asked = parser.parse_args()
    single_core()
    bundle = load_bundle(asked.bundle)
    linear, transformed = measure(bundle, linear=True), measure(bundle, linear=False)
    asked.out.mkdir(parents=True, exist_ok=True)
    for what, found in (("linear", linear), ("latent_transformer", transformed)):
        written = {name: asdict(own) for name, own in found.items()}
        (asked.out / f"{what}.json").write_text(json.dumps(written, indent=1) + "\n")
    print(edits_table(bundle.edits, linear))
    if transformed:
        print(f"\nDirection / latent transformer:\n\n{comparison(linear, transformed)}")


if __name__ == "__main__":
    main()
