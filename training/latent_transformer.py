"""Trains the latent transformer of a bundle: `python -m training.latent_transformer --bundle bundles/avatar-256 ...`.

As in the paper (Yao et al. 2021, arXiv:2106.11895) a small network first learns to read the attributes off codes of
W+, from what the bundle's attribute network sees on the pictures that the generator draws of them; then every
attribute's map learns to move what is read of it by as much as asked, while the others and the code stay. Codes are
drawn as the encoder finds them: one of W, with offsets per layer as wide as its own. Maps find what the reader gets
wrong, so both learn again once the reader has seen pictures of what the maps made. In the end the maps get the units of
the bundle's directions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.bundles import load_bundle
from seamline.networks.latent_transformer import LatentTransformer, LatentTransformerConfig
from training.command import finish, options
from training.latent_codes import Codes, Domain, Pictures
from training.loop import Batch, LoopConfig, train
from training.metrics import explained_variance

DEFAULTS = LoopConfig(steps=4000, learning_rate=1e-3, weight_decay=0.1, ema=0.995)
"""Steps of the reader, and again of the maps."""
MAPS_RATE = 5e-3
"""Learning rate of the maps."""
ROUNDS = 3
"""Times that reader and maps are trained."""
PICTURES = 10000
"""Codes of which pictures are read in a round."""
PER_ATTRIBUTE = 16
"""Codes of each attribute in a step of the maps'."""
LEAST_SPREAD = 0.2
"""Deviation of the offsets per layer that is learned from, at least: off codes whose layers are all alike, as those of
an encoder that stays in W, nothing could be read about a layer of its own."""
LEAST_EFFECT = 0.25
"""No map is enlarged more than fourfold: what is hardly seen to move is hardly seen, not hardly moved."""
MOST_LEAKAGE = 0.5
"""Share of an edit that may be seen in another attribute; maps that leak more are left out."""
KEEP_OTHERS, KEEP_CODE = 4.0, 1.0
"""Weights of the mean squared change of the other attributes and of the code, against that of the own one."""


class Reader(nn.Module):
    """Reads standardised attributes (B, A) off codes (B, L, w_dim)."""

    def __init__(self, num_ws: int, w_dim: int, attributes: int, width: int = 512) -> None:
        super().__init__()
        self.linear = nn.Linear(num_ws * w_dim, attributes)
        self.layers = nn.Sequential(
            nn.Linear(num_ws * w_dim, width), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(width, width),
            nn.LeakyReLU(0.2), nn.Linear(width, attributes),
        )  # fmt: skip

    def forward(self, ws: Tensor) -> Tensor:
        """Read; in float32, since edits are differences."""
        with torch.autocast(ws.device.type, enabled=False):
            flat = ws.float().flatten(1)
            return self.linear(flat) + self.layers(flat)


def reading_loss(reader: nn.Module, batch: Batch) -> Tensor:
    """Squared error of what is read off codes, mean over codes and attributes, in standard deviations."""
    return (reader(batch["codes"]) - batch["values"]).square().mean()


@dataclass(frozen=True, kw_only=True)
class EditingLoss:
    """How far an edit misses its strength, and what it changes besides."""

    domain: Domain
    spread: Tensor
    reader: nn.Module

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """Sum of the three terms; every attribute edits codes of its own, to a random value of its range."""
        maps = cast(LatentTransformer, network)
        columns = torch.tensor([self.domain.names.index(name) for name in maps.config.names], device=self.spread.device)
        ws = self.domain.codes(batch, self.spread).unflatten(0, (len(columns), -1))
        low, high = self.domain.low.to(ws)[columns, None], self.domain.high.to(ws)[columns, None]
        with torch.autocast(ws.device.type, enabled=False):
            before = self._read(ws)
            now = before.gather(2, columns[:, None, None].expand(-1, ws.shape[1], 1))[..., 0]
            targets = torch.lerp(low, high, batch["targets"].view_as(now))
            strengths = targets - now.clamp(low, high)
            moved = strengths[..., None, None] * maps.offsets(ws)
            change = self._read(ws + moved) - before
            own = F.one_hot(columns, len(self.domain.names))[:, None].to(change)
            missed = ((change * own).sum(2) - strengths).square().mean()
            others = (change * (1 - own)).square().mean()
            return missed + KEEP_OTHERS * others + KEEP_CODE * moved.square().mean()

    def _read(self, ws: Tensor) -> Tensor:
        return self.reader(ws.flatten(0, 1)).unflatten(0, ws.shape[:2])


def effect(domain: Domain, ws: Tensor, move: Callable[[float], Tensor]) -> Tensor:
    """Mean change (A,) of what is seen on the pictures of codes (B, L, w_dim) per unit of strength, from -1 to +1."""
    up, down = (torch.cat([domain.see(part) for part in move(sign).split(16)]) for sign in (1.0, -1.0))
    return (up - down).mean(0) / 2


@torch.inference_mode()
def evaluate(
    maps: LatentTransformer, reader: nn.Module, domain: Domain, spread: Tensor, faces: int = 32
) -> dict[str, float]:
    """How well codes are read, and how a unit of every edit moves what is seen: by its map, and by its direction."""
    config = maps.config
    draw = Codes(count=faces, num_ws=config.num_ws, w_dim=config.w_dim, seed=9)(0)
    ws = domain.codes({name: part.to(spread.device) for name, part in draw.items()}, spread)
    seen = torch.cat([domain.read(part) for part in ws.split(16)])
    read = reader(ws)
    scores = explained_variance(read.cpu().numpy(), seen.cpu().numpy())
    figures = {"reader_r2_mean": float(scores.mean())}
    for number, name in enumerate(config.names):
        strengths = ws.new_zeros(len(ws), len(config.names))
        strengths[:, number] = 1
        direction, own = domain.bundle.directions[name], domain.names.index(name)
        mapped = effect(domain, ws, lambda sign, strengths=strengths: maps(ws, sign * strengths))
        linear = effect(domain, ws, lambda sign, direction=direction: ws + sign * direction)
        rest = torch.cat([mapped[:own], mapped[own + 1 :]])
        figures[f"effect_{name}"] = float(mapped[own])
        figures[f"linear_{name}"] = float(linear[own])
        figures[f"leakage_{name}"] = float(rest.abs().max() / mapped[own].abs().clamp(min=1e-6))
    return figures


@torch.inference_mode()
def calibrate(maps: LatentTransformer, figures: Mapping[str, float]) -> None:
    """Scale every map, so that a strength moves what is seen as far as the same strength of the direction does."""
    for number, name in enumerate(maps.config.names):
        scale = figures[f"linear_{name}"] / max(figures[f"effect_{name}"], LEAST_EFFECT)
        maps.weight[number] *= scale
        maps.bias[number] *= scale


def trusted(maps: LatentTransformer, figures: Mapping[str, float]) -> LatentTransformer:
    """The maps that move their own attribute more than any other.

    Raises:
        ValueError: There is none.
    """
    names = maps.config.names
    rows = [row for row, name in enumerate(names) if figures[f"leakage_{name}"] < MOST_LEAKAGE]
    if not rows:
        raise ValueError(f"every map moves another attribute by {MOST_LEAKAGE:.0%} of its own or more; take more steps")
    kept = LatentTransformer(replace(maps.config, names=tuple(names[row] for row in rows)))
    kept.load_state_dict({name: tensor[rows] for name, tensor in maps.state_dict().items()})
    return kept


def taught(
    domain: Domain, spread: Tensor, pictures: Pictures, names: Sequence[str], out: Path, loop: LoopConfig
) -> tuple[nn.Module, LatentTransformer]:
    """A reader of what is seen on the pictures, and maps of the attributes `names` that go by it, both frozen."""
    bundle, device = domain.bundle, domain.bundle.device
    sizes = {"num_ws": bundle.num_ws, "w_dim": bundle.w_dim}
    untaught = Reader(bundle.num_ws, bundle.w_dim, len(domain.names))
    reader = train(untaught, reading_loss, pictures, out / "reader", loop).to(device).requires_grad_(False)
    maps = train(
        LatentTransformer(LatentTransformerConfig(names=tuple(names), **sizes)),
        EditingLoss(domain=domain, spread=spread, reader=reader),
        Codes(count=PER_ATTRIBUTE * len(names), seed=loop.seed, **sizes),
        out / "maps",
        replace(loop, learning_rate=MAPS_RATE, weight_decay=0.01),
    )
    return reader, cast(LatentTransformer, maps.to(device).requires_grad_(False))


def main() -> None:
    """Train and report; see `--help`."""
    asked = options("latent_transformer", __doc__ or "", DEFAULTS, portraits=False)
    seed, place = asked.loop.seed, asked.bundle
    bundle = load_bundle(place.name, place.resolve().parent, asked.loop.device)
    domain = Domain(bundle)
    found = domain.encoder_spread().clone()
    spread = found.clamp(min=LEAST_SPREAD)
    names = [name for name in bundle.edits if name in domain.names]
    pictures = Pictures.draw(domain, spread, asked.out / "pictures-0.safetensors", PICTURES, seed)
    reader, maps = taught(domain, spread, pictures, names, asked.out / "round-0", asked.loop)
    for number in range(1, ROUNDS):
        path = asked.out / f"pictures-{number}.safetensors"
        pictures += Pictures.draw(domain, spread, path, PICTURES, seed + number, maps)
        reader, maps = taught(domain, spread, pictures, names, asked.out / f"round-{number}", asked.loop)
    seen = evaluate(maps, reader, domain, found)
    calibrate(maps, seen)
    kept = trusted(maps, seen)
    config = {"names": kept.config.names, "num_ws": bundle.num_ws, "w_dim": bundle.w_dim}
    finish(asked, kept.cpu(), config, evaluate(kept.to(bundle.device), reader, domain, found))


if __name__ == "__main__":
    main()
