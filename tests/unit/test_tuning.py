"""Settings, batches and pixels, as pivotal and stitching tuning share them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from seamline.algorithm import Algorithm
from seamline.bundles.frozen import has_fast_bfloat16
from seamline.errors import InvalidInput
from seamline.networks import Generator, GeneratorConfig
from seamline.tuning import (
    batch_order,
    check_finite,
    compute,
    settings,
    to_images,
    to_pixels,
    with_fast_layout,
)
from seamline.v1.inverter_pb2 import InvertOptions
from seamline.v1.stitcher_pb2 import Blend, StitchOptions

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Two settings that requests know, and one that they do not."""

    max_passes: int = 80
    target_psnr_db: float = 30.0
    batch_size: int = 1


def test_a_request_overrides_the_bundle_and_the_bundle_the_class() -> None:
    chosen = settings(Settings, {"max_passes": 20, "batch_size": 8}, InvertOptions(max_passes=5))
    assert chosen == Settings(max_passes=5, batch_size=8)


def test_a_zero_in_the_request_counts() -> None:
    assert settings(Settings, {}, InvertOptions(target_psnr_db=0.0)).target_psnr_db == 0


def test_options_that_are_not_settings_are_left_alone() -> None:
    assert settings(Settings, {}, StitchOptions(blend=Blend.BLEND_FEATHER, max_steps=3)) == Settings()


def test_stits_algorithm_passes_the_bundle_over() -> None:
    table = {"max_passes": 20}
    algorithms = [Algorithm.of(number) for number in (0, Algorithm.DEFAULT.to_proto(), Algorithm.STIT.to_proto())]
    assert algorithms == [Algorithm.DEFAULT, Algorithm.DEFAULT, Algorithm.STIT]
    assert [algorithm.table(table) for algorithm in algorithms] == [table, table, {}]


def test_an_algorithm_that_is_unknown_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"invert\.algorithm is 9") as caught:
        Algorithm.of(9, "invert.algorithm")
    assert caught.value.field == "invert.algorithm"


def test_a_bundle_that_sets_something_unknown_is_refused() -> None:
    with pytest.raises(InvalidInput, match="passes_max"):
        settings(Settings, {"passes_max": 3}, InvertOptions())


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(("count", "size"), [(1, 8), (8, 8), (9, 8), (72, 8), (33, 16)])
def test_batches_hold_every_frame_once_and_are_nearly_equal(count: int, size: int, seed: int | None) -> None:
    batches = batch_order(count, size, seed=seed, turn=2)
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    lengths = [len(batch) for batch in batches]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


def test_order_follows_from_seed_and_turn() -> None:
    first, again, other = (torch.cat(batch_order(40, 8, seed=1, turn=turn)) for turn in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.cat(batch_order(40, 8, seed=None, turn=5)).tolist() == list(range(40))


def test_pixels_survive_the_way_through_images() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    images = to_images(pixels, CPU)
    assert (images.min(), images.max()) == (-1, 1)
    assert np.array_equal(to_pixels(images), pixels)
    assert to_pixels(images * 2).max() == 255


def test_float32_means_float32() -> None:
    with compute(CPU, "float32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_divergence_names_the_learning_rate() -> None:
    check_finite(1.0, 0.5)
    with pytest.raises(InvalidInput, match=r"0\.5") as caught:
        check_finite(float("nan"), 0.5)
    assert caught.value.field == "options.learning_rate"


def test_features_take_the_layout_that_is_fastest_in_the_number_format() -> None:
    generator = Generator(GeneratorConfig(resolution=16, w_dim=8, z_dim=8, channel_base=128, channel_max=8))
    codes, drawn = torch.randn(2, generator.config.num_ws, 8), []
    for precision in ("float32", "bfloat16"):
        fast = precision == "bfloat16" and has_fast_bfloat16(CPU)
        weight = with_fast_layout(generator, precision).synthesis.blocks[0].conv1.weight
        assert weight.is_contiguous(memory_format=torch.channels_last if fast else torch.contiguous_format)
        start = generator.synthesis._start(torch.zeros(2, 8))
        assert start.is_contiguous() is not fast
        drawn.append(generator.synthesis(codes))
    torch.testing.assert_close(*drawn, rtol=1e-4, atol=1e-4)
