"""Codes of W+ and what is seen on their pictures: what the latent transformer is taught by."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from seamline.bundles import Bundle
from seamline.editing.reading import Reader
from seamline.networks.attributes import AttributeNetwork
from seamline.networks.e4e import E4eEncoder
from seamline.networks.latent_transformer import LatentTransformer
from seamline.networks.stylegan2 import Generator
from training.command import POSE
from training.loop import Batch
from training.renderer.parameters import HIGHS, INDEX, LOWS, MEANS, STDS, sample, standardise

DRAWN = 25
"""Codes of which pictures are drawn at a time."""
READ = 128
"""Codes of a step of the reader's."""
FURTHEST = 3.0
"""Strength, in standard deviations, up to which `edited` moves codes."""


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Random codes of W+ by step, a function of nothing else."""

    count: int
    num_ws: int
    w_dim: int
    seed: int

    def __call__(self, step: int) -> Batch:
        """z (count, P) of random faces, normal noise (count, L, w_dim), shares and targets (count,) in 0..1."""
        rng = np.random.default_rng((self.seed, step))
        z = standardise(sample(rng, self.count))
        z[:, [INDEX["yaw"], INDEX["pitch"]]] *= POSE
        noise = rng.standard_normal((self.count, self.num_ws, self.w_dim), np.float32)
        shares, targets = rng.random((2, self.count), np.float32)
        drawn = {"z": z, "noise": noise, "shares": shares, "targets": targets}
        return {name: torch.from_numpy(part) for name, part in drawn.items()}


class Domain:
    """What of a bundle the training looks at."""

    def __init__(self, bundle: Bundle) -> None:
        self.generator = cast(Generator, bundle.module("generator"))
        self.attributes = cast(AttributeNetwork, bundle.module("attributes"))
        self.bundle, self.look = bundle, Reader(bundle)
        self.names = self.attributes.config.names
        self.low, self.high = (
            torch.tensor([float((ends[i] - MEANS[i]) / STDS[i]) for i in map(INDEX.__getitem__, self.names)])
            for ends in (LOWS, HIGHS)
        )

    @torch.no_grad()
    def codes(self, batch: Batch, spread: Tensor) -> Tensor:
        """Codes (B, L, w_dim): a part as the mapping gives them, others with offsets up to 1.5 times the encoder's."""
        width = (2 * batch["shares"] - 0.5).clamp(0)[:, None, None]
        return self.generator.mapping(batch["z"]) + width * spread * batch["noise"]

    @torch.no_grad()
    def see(self, ws: Tensor) -> Tensor:
        """Attributes (B, A) of the pictures of codes (B, L, w_dim)."""
        return self.attributes(self.look.pictures(ws)).float()

    def read(self, ws: Tensor) -> Tensor:
        """The same, kept to the range of what is rendered."""
        values = self.see(ws)
        return values.clamp(self.low.to(values), self.high.to(values))

    @torch.inference_mode()
    def encoder_spread(self, count: int = 128) -> Tensor:
        """Deviation (L, w_dim) of the encoder's codes from their mean over the layers, on pictures of the generator."""
        draw = Codes(count=count, num_ws=self.bundle.num_ws, w_dim=self.bundle.w_dim, seed=8)(0)
        ws = self.generator.mapping(draw["z"].to(self.bundle.device))
        size = cast(E4eEncoder, self.bundle.module("e4e")).config.input_size
        pictures = (self.generator.synthesis(part, "none").clamp(-1, 1) for part in ws.split(16))
        found = torch.cat(
            [self.bundle.infer("e4e", F.interpolate(part, (size, size), mode="area")) for part in pictures]
        )
        return (found - found.mean(1, keepdim=True)).square().mean(0).sqrt()


def edited(maps: LatentTransformer, ws: Tensor, batch: Batch) -> Tensor:
    """Codes (B, L, w_dim) with one edit each, all attributes in turn, as far as the targets of the batch say."""
    rows = torch.arange(len(ws), device=ws.device)
    strengths = ws.new_zeros(len(ws), len(maps.config.names))
    strengths[rows, rows % strengths.shape[1]] = FURTHEST * (2 * batch["targets"] - 1)
    return maps(ws, strengths)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Codes, and what is seen on their pictures: drawn once, since drawing takes longer than all else."""

    codes: Tensor
    """(N, L, w_dim)."""
    values: Tensor
    """(N, A)."""
    seed: int

    def __add__(self, other: "Pictures") -> "Pictures":
        """Both, in steps of the first."""
        codes, values = torch.cat([self.codes, other.codes]), torch.cat([self.values, other.values])
        return Pictures(codes=codes, values=values, seed=self.seed)

    @classmethod
    @torch.no_grad()
    def draw(
        cls, domain: Domain, spread: Tensor, path: Path, count: int, seed: int, maps: LatentTransformer | None = None
    ) -> "Pictures":
        """Draw those of random codes, edited by maps if given, or read back what an earlier run drew into `path`."""
        if not path.exists():
            codes = Codes(count=DRAWN, num_ws=domain.bundle.num_ws, w_dim=domain.bundle.w_dim, seed=seed)
            batches = [{k: v.to(spread.device) for k, v in codes(step).items()} for step in range(count // DRAWN)]
            ws = [domain.codes(batch, spread) for batch in batches]
            if maps:
                ws = [edited(maps, part, batch) for part, batch in zip(ws, batches, strict=True)]
            values = [domain.read(part) for part in ws]
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"codes": torch.cat(ws).cpu(), "values": torch.cat(values).cpu()}, path)
        return cls(**load_file(path), seed=seed)

    def __call__(self, step: int) -> Batch:
        """A step's codes (B, L, w_dim) and values (B, A), a function of nothing else."""
        rows = np.random.default_rng((self.seed, step)).integers(len(self.codes), size=READ)
        return {"codes": self.codes[rows], "values": self.values[rows]}
