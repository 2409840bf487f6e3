"""StyleCLIP's two files become what text edits need, without the channels of toRGB."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seamline.bundles.relevance import Relevance, convolution_channels, style_layers
from seamline.checkpoints.formats import FORMATS
from seamline.errors import InvalidInput
from seamline.networks import Generator, GeneratorConfig
from seamline.networks.stylegan2 import SynthesisLayer

WIDTH = 8


def layers(*, resolution: int = 1024) -> list[tuple[int, bool]]:
    """Channels of every layer of the FFHQ generator, and whether it is a convolution."""
    with torch.device("meta"):
        found = style_layers(Generator(GeneratorConfig(resolution=resolution)))
    return [(layer.inputs, isinstance(layer, SynthesisLayer)) for layer in found]


def write(folder: Path, fs3: Any, statistics: Any) -> list[Path]:
    np.save(folder / "fs3.npy", fs3)
    (folder / "S_mean_std").write_bytes(pickle.dumps(statistics, protocol=3))
    return [folder / "fs3.npy", folder / "S_mean_std"]


def drawn(*, resolution: int = 1024) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    draws = np.random.default_rng(0)
    sizes = layers(resolution=resolution)
    fs3 = draws.standard_normal((sum(size for size, convolution in sizes if convolution), WIDTH))
    mean = [draws.standard_normal(size).astype(np.float32) for size, _ in sizes]
    return fs3, [mean, [np.abs(layer) for layer in mean]]


@pytest.mark.parametrize("resolution", [1024, 64])
def test_channels_of_convolutions_stay_in_order(tmp_path: Path, resolution: int) -> None:
    fs3, (mean, std) = drawn(resolution=resolution)
    if resolution == 1024:
        assert (len(fs3), len(mean)) == (6048, 26)
    converted = FORMATS["styleclip"](write(tmp_path, fs3, [mean, std]))
    assert (converted.kind, dict(converted.config)) == ("relevance", {"beta": 0.2})
    found = Relevance.of(converted.tensors, 0.2, (len(fs3), WIDTH), "it")
    torch.testing.assert_close(found.embeddings, torch.from_numpy(fs3).float())
    kept = [index for index, (_, convolution) in enumerate(layers(resolution=resolution)) if convolution]
    torch.testing.assert_close(found.mean, torch.from_numpy(np.concatenate([mean[index] for index in kept])))
    torch.testing.assert_close(found.std, torch.from_numpy(np.concatenate([std[index] for index in kept])))
    with torch.device("meta"):
        channels = convolution_channels(Generator(GeneratorConfig(resolution=resolution)))
    assert [len(mean[index]) for index in kept] == channels


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    fs3, (mean, std) = drawn(resolution=64)
    cases: list[tuple[Any, Any, str]] = [
        (fs3[:-1], [mean, std], r"fs3\.npy: has 4607 rows, S_mean_std has 4608"),
        (fs3[0], [mean, std], "dimensions"),
        (fs3 * np.nan, [mean, std], "holds NaN"),
        (fs3.astype(int), [mean, std], "wanted fractions"),
        (fs3, [mean], "no pair"),
        (fs3, mean, "no pair"),
        (fs3, [mean, std[0]], "its std is no list of arrays"),
        (fs3, [mean, [*std[:-1], std[-1][1:]]], "differ in their sizes"),
        (fs3, [mean[:-1], std[:-1]], "of no StyleGAN2"),
        (fs3, [mean, [-layer for layer in std]], "negative"),
        (fs3, [[*mean[:-1], 3.0], std], "mean of layer 13 is a float"),
    ]
    for given, statistics, message in cases:
        with pytest.raises(InvalidInput, match=message):
            FORMATS["styleclip"](write(tmp_path, given, statistics))


def test_layers_out_of_order_are_refused(tmp_path: Path) -> None:
    fs3, (mean, std) = drawn(resolution=256)
    with pytest.raises(InvalidInput, match=r"layers of \[128, .* are of no StyleGAN2"):
        FORMATS["styleclip"](write(tmp_path, fs3, [mean[::-1], std[::-1]]))


def test_swapped_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"fs3\.npy: is no pair"):
        FORMATS["styleclip"](write(tmp_path, *drawn(resolution=64))[::-1])
