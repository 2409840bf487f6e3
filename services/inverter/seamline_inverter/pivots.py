"""The codes of a track's crops: from the encoder, or searched for from there on."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from seamline.algorithm import Algorithm
from seamline.bundles import Bundle
from seamline.job import Job, Step
from seamline.networks import Generator
from seamline.tuning import compute, to_images
from seamline_inverter.checkpoint import Checkpoint
from seamline_inverter.code_search import search
from seamline_inverter.crops import TrackCrops
from seamline_inverter.options import InversionConfig, Method, PivotSource
from seamline_inverter.pivotal_tuning import psnr_db

BATCH = 8
"""Crops that are encoded, searched for and drawn together."""


class PivotFinder:
    """Finds all codes of one track; a search goes on from the last checkpoint of an earlier attempt."""

    def __init__(self, bundle: Bundle, generator: Generator, config: InversionConfig, checkpoint: Checkpoint) -> None:
        """Only draws with the generator."""
        self._bundle, self._generator, self._config, self._checkpoint = bundle, generator, config, checkpoint

    def find(self, crops: TrackCrops, job: Job) -> tuple[Tensor, float]:
        """Codes (n, L, w_dim), on the bundle's device, and the mean PSNR in dB of what is drawn from them."""
        count = len(crops.frames)
        if self._config.pivots is PivotSource.ENCODER:
            with job.step("encode", total=count) as step:
                found = [self._encode(images, step) for images in batches(crops, self._bundle.device)]
            codes, psnr = (torch.cat(parts) for parts in zip(*found, strict=True))
        else:
            codes, psnr = self._searched(crops, job)
        return codes, psnr.mean().item()

    def _encode(self, images: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            found = encode(self._bundle, images, self._config.algorithm)
        if self._config.method is Method.HYPERSTYLE:  # which takes codes of W: they leave edits most room
            found = self._expanded(found.mean(1))
        psnr = drawn_psnr(self._generator, found, images, self._config)
        step.advance(len(images), psnr_db=psnr.mean().item())
        return found, psnr

    def _searched(self, crops: TrackCrops, job: Job) -> tuple[Tensor, Tensor]:
        steps = self._config.search.pivot_steps
        state = self._checkpoint.load()
        w, psnr = ([state[name]] if state else [] for name in ("w", "psnr_db"))
        found = sum(map(len, psnr))
        self._generator.requires_grad_(False)
        with job.step("search", total=steps * len(crops.frames)) as step:
            step.skip(steps * found)
            for images in batches(crops, self._bundle.device, skip=found):
                w.append(self._search(images, step))
                psnr.append(drawn_psnr(self._generator, self._expanded(w[-1]), images, self._config))
                if self._checkpoint.due:
                    self._checkpoint.save({"w": torch.cat(w), "psnr_db": torch.cat(psnr)})
        device = self._bundle.device
        return self._expanded(torch.cat([part.to(device) for part in w])), torch.cat([part.cpu() for part in psnr])

    def _search(self, images: Tensor, step: Step) -> Tensor:
        config, taken = self._config, 0

        def on_step(loss: float) -> None:
            nonlocal taken
            taken += 1
            step.advance(len(images), loss=loss)

        with torch.no_grad():
            start = encode(self._bundle, images, config.algorithm).mean(1)
        perceptual = self._bundle.module("perceptual")
        w = search(self._generator, perceptual, images, start, config.search, config.tuning.precision, on_step)
        step.skip((config.search.pivot_steps - taken) * len(images))
        return w

    def _expanded(self, w: Tensor) -> Tensor:
        return w.unsqueeze(1).expand(-1, self._bundle.num_ws, -1)


def batches(crops: TrackCrops, device: torch.device, skip: int = 0) -> Iterator[Tensor]:
    """Crops (B, 3, R, R) of the whole track, in the video's order, but for the first `skip`, which end a batch."""
    for visit in range(crops.groups):
        places, pixels = crops.take(visit, crops.groups, seed=None)
        starts = range(max(0, skip - int(places[0])), len(pixels), BATCH)
        yield from (to_images(pixels[start : start + BATCH], device) for start in starts)
        del pixels  # before the next are taken


def drawn_psnr(generator: Generator, codes: Tensor, images: Tensor, config: InversionConfig) -> Tensor:
    """PSNR in dB (B,) of what a generator draws from codes against images (B, 3, R, R)."""
    with torch.no_grad(), compute(codes.device, config.tuning.precision):
        drawn = generator.synthesis(codes)
    return psnr_db((drawn - images).square().mean((1, 2, 3)))


def encode(bundle: Bundle, images: Tensor, algorithm: Algorithm = Algorithm.DEFAULT) -> Tensor:
    """Codes (N, L, w_dim) of images (N, 3, R, R): e4e's offsets from the average code.

    Larger images are averaged to the encoder's size; STIT's algorithm samples them instead (bilinearly, without
    anti-aliasing), as the original does.
    """
    size = bundle.config("e4e").input_size
    if images.shape[-1] != size:
        mode = "bilinear" if algorithm is Algorithm.STIT else "area"
        images = F.interpolate(images, (size, size), mode=mode)
    return bundle.infer("e4e", images) + bundle.latent_avg
