"""A finished run of Stitch it in Time, laid out as its own code leaves it, and a bundle of the generator before."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seamline.bundles import Bundle, load_bundle
from seamline.bundles.manifest import MANIFEST, Manifest, NetworkEntry, format_manifest
from seamline.checkpoints.network_file import Converted, write_converted
from seamline.networks import Generator, GeneratorConfig
from tests.fakes.alignment import drawn_frame, quad
from tests.fakes.foreign import persistent_generator, stylegan2_ada

RUN = "obama"
CONFIG = GeneratorConfig(
    resolution=64,
    z_dim=16,
    w_dim=16,
    mapping_layers=1,
    channel_base=512,
    channel_max=16,
)


def small_generator(seed: int = 0) -> Generator:
    """A generator of 64 px with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = Generator(CONFIG).eval().requires_grad_(False)
        generator.mapping.w_avg.normal_()
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator


def tuned(state: Mapping[str, Tensor], seed: int = 1) -> dict[str, Tensor]:
    """Weights as pivotal tuning leaves them: all of the synthesis network's parameters are changed, no buffer is."""
    draws = torch.Generator().manual_seed(seed)
    fixed = ("noise_const", "w_avg", "resample_filter")
    return {
        name: tensor + 0.05 * torch.randn(tensor.shape, generator=draws)
        if name.startswith("synthesis.") and not name.endswith(fixed)
        else tensor
        for name, tensor in state.items()
    }


def bundle_of(generator: Generator, search: Path, name: str = "small") -> Bundle:
    """A bundle with nothing but a generator, in float32."""
    config = asdict(generator.config)
    tensors = generator.state_dict()
    (search / name).mkdir(parents=True)
    converted = Converted(kind="generator", config=config, tensors=tensors, licence="CC0-1.0", source="tests/fakes")
    written = write_converted(search / name / "generator.safetensors", converted)
    entry = NetworkEntry(**asdict(written), licence="CC0-1.0", source="tests/fakes", config=config)
    manifest = Manifest(name=name, version=1, resolution=generator.config.resolution, networks={"generator": entry})
    (search / name / MANIFEST).write_text(format_manifest(manifest))
    return load_bundle(name, search)


def write_run(folder: Path, state: Mapping[str, Tensor], pivots: Tensor, quads: Sequence[Any] | None = None) -> Path:
    """`checkpoints/model_obama.pt`; returns its path."""
    given = [quad(number) for number in range(len(pivots))] if quads is None else quads
    path = folder / "checkpoints" / f"model_{RUN}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with stylegan2_ada():
        torch.save({"generator": persistent_generator(state), "pivots": pivots, "quads": given}, path)
    return path


def write_frames(folder: Path, count: int) -> Path:
    """A folder of pictures, as ffmpeg writes them; returns it."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(drawn_frame(number)).save(folder / f"out{number + 1:04d}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def write_options(folder: Path, **options: Any) -> None:
    """The opts.json of train.py and of a later edit."""
    known = {"run_name": RUN, "input_folder": "video_frames", "start_frame": 0, "end_frame": None, "num_pti_steps": 80}
    for name, content in (("training_results", known | options), ("edits", {"run_name": RUN, "edit_name": ["age"]})):
        place = folder / name / RUN / "opts.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(content))


def quads_of(count: int) -> np.ndarray:
    """(count, 4, 2) of the drawn frames."""
    return np.stack([quad(number) for number in range(count)])
