"""StyleCLIP's files, converted, give the style direction of Stitch it in Time's public implementation."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from safetensors.torch import load_file

from seamline.checkpoints.formats import FORMATS
from seamline.checkpoints.network_file import write_converted
from seamline.editing.styleclip import channel_steps
from tests.golden.networks import TOLERANCE, Golden, relative_error

CHANNELS = (128,) * 8
"""Of every layer of a generator of 16 px, five of them convolutions: the golden file has 640 channels."""


@pytest.mark.parametrize(("beta", "name"), [(0.05, "beta_0p05"), (0.1, "beta_0p1")])
def test_channel_steps(tmp_path: Path, beta: float, name: str) -> None:
    golden = Golden("styleclip_global").outputs
    paths = [tmp_path / "fs3.npy", tmp_path / "S_mean_std"]
    np.save(paths[0], golden["fs3"].numpy())
    statistics = [np.ones(size, np.float32) for size in CHANNELS]
    paths[1].write_bytes(pickle.dumps([statistics, statistics], protocol=3))
    write_converted(tmp_path / "relevance.safetensors", FORMATS["styleclip"](paths))
    converted = load_file(tmp_path / "relevance.safetensors")
    neutral, target = F.normalize(golden["class_weights"], dim=0).unbind(1)
    found = channel_steps(converted["relevance"], F.normalize(target - neutral, dim=0), beta)
    assert relative_error(found, golden[name]) < TOLERANCE
