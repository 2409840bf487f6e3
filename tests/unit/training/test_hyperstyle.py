from itertools import islice
from pathlib import Path

import pytest
import torch

from seamline.networks.e4e import E4eConfig, E4eEncoder
from seamline.networks.hyperstyle import PASSES, HyperStyle
from seamline.networks.stylegan2 import Generator, GeneratorConfig
from tests.fakes.portraits import write_portraits
from training import hyperstyle
from training.data import Portraits
from training.hyperstyle import Inversion, Run, drawings, evaluate, figures, small_config, vary

GENERATOR = GeneratorConfig(
    resolution=64, z_dim=4, w_dim=8, mapping_layers=1, mapping_activation="linear", channel_base=512, channel_max=16
)
FACE, EYES = 1, 4


@pytest.fixture
def inversion() -> Inversion:
    torch.manual_seed(0)
    encoder = E4eEncoder(
        E4eConfig(input_size=64, generator_resolution=64, w_dim=8, width=16, units=(1, 1, 1, 1), style_width=8)
    )
    generator = Generator(GENERATOR)
    for network in (encoder, generator):
        network.eval().requires_grad_(False)
    return Inversion(generator=generator, encoder=encoder)


@pytest.fixture
def portraits(tmp_path: Path) -> tuple[Portraits, Portraits]:
    return Portraits.split(write_portraits(tmp_path / "portraits"))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_loss_weights_move_with_their_picture():
    parsing = torch.full((4, 64, 64), FACE, dtype=torch.uint8)
    parsing[:, 20:44, 10:30] = EYES
    images = (parsing == EYES).float().unsqueeze(1).expand(-1, 3, -1, -1) * 1.2 - 0.6
    varied, weights = vary(images, parsing, rng())
    assert weights.shape == (4, 1, 64, 64)
    bright, heavy = varied.mean(1) > 0, weights[:, 0] > 3
    assert (bright == heavy).float().mean() > 0.99
    assert ((parsing == EYES) == heavy).float().mean() < 0.99


def test_patterns_cover_background_and_clothes_and_nothing_else():
    def spread(label: int) -> float:
        parsing = torch.full((16, 64, 64), label, dtype=torch.uint8)
        varied, _ = vary(torch.zeros(16, 3, 64, 64), parsing, rng())
        return float(varied.flatten(1).std(1).max())

    assert spread(0) > 2 * spread(FACE)
    assert spread(16) > 2 * spread(FACE)


def test_changes_are_fixed_by_the_seed_and_stay_in_range():
    images, parsing = torch.rand(2, 3, 64, 64) * 2 - 1, torch.zeros(2, 64, 64, dtype=torch.uint8)
    first, again, other = (vary(images, parsing, rng(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == images.shape
    assert first.abs().max() <= 1


def test_untrained_passes_draw_what_the_encoder_alone_gives(inversion: Inversion):
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    network = HyperStyle(small_config(GENERATOR)).eval()
    with torch.no_grad():
        first, *refined = drawings(network, inversion, images)
    assert len(refined) == PASSES
    for drawn in refined:
        torch.testing.assert_close(drawn, first, rtol=0.02, atol=0.02)


def test_gradients_end_at_the_pass_before(inversion: Inversion):
    network = HyperStyle(small_config(GENERATOR)).train()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    lengths = []
    for drawn in islice(drawings(network, inversion, images), 1, None):
        network.zero_grad()
        # A graph that reached further back would have been freed by the pass before.
        drawn.square().mean().backward()
        lengths.append(float(network.get_parameter("refinement_blocks.5.linear.bias").grad.norm()))
    assert len(lengths) == PASSES


def test_training_brings_drawings_nearer_and_resumes(
    inversion: Inversion, portraits, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr(hyperstyle, "WARMUP", 1)
    data, held_out = portraits
    checkpoint = tmp_path / "checkpoint.pt"
    half = Run(inversion, 16, 4, 1, checkpoint)
    before = evaluate(half.average, inversion, held_out, varied=False, count=8)
    half.train(data, held_out)
    assert "16 images" in capsys.readouterr().out

    whole = Run(inversion, 40, 4, 1, checkpoint)
    assert whole.seen == 16
    torch.testing.assert_close(dict(whole.average.state_dict()), dict(half.average.state_dict()))
    whole.train(data, held_out)
    after = evaluate(whole.average, inversion, held_out, varied=False, count=8)
    assert after[0] == before[0]
    assert after[-1] > after[0] + 0.2


def test_figures_name_both_kinds_of_portraits(inversion: Inversion, portraits):
    network = HyperStyle(small_config(GENERATOR)).eval()
    text = figures(network, inversion, portraits[1])
    assert text.startswith("portraits ")
    assert text.count("varied ") == 1
    assert text.count(">") == 2
