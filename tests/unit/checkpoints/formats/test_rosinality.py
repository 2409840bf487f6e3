"""A generator in rosinality's layout draws what that project's arithmetic, written out plainly, draws of it."""

from math import prod, sqrt
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from seamline.checkpoints.formats import FORMATS, rosinality
from seamline.checkpoints.network_file import load_network, write_converted
from seamline.networks import Generator, GeneratorConfig

CONFIG = GeneratorConfig(resolution=16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8)
KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 16
"""As the layout stores it: four times the filter's mean."""
State = dict[str, Tensor]


def drawn() -> State:
    generator = torch.Generator().manual_seed(0)
    ours = Generator(CONFIG).state_dict()
    shapes = {key: rosinality._shape(key, ours[name].shape) for name, key in rosinality.names(CONFIG).items()}
    state = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    return state | {key: KERNEL.clone() for key in rosinality.filters(CONFIG)}


def filtered(x: Tensor, before: int, after: int) -> Tensor:
    channels = x.shape[1]
    padded = F.pad(x, (before, after, before, after))
    return F.conv2d(padded, KERNEL.expand(channels, 1, 4, 4), groups=channels)


def enlarged(x: Tensor) -> Tensor:
    between = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    between[:, :, ::2, ::2] = x
    return filtered(between, 2, 1)


def convolved(state: State, name: str, x: Tensor, w: Tensor, *, up: bool = False, demodulate: bool = True) -> Tensor:
    modulation = state[f"{name}.modulation.weight"] / sqrt(w.shape[1])
    styles = F.linear(w, modulation, state[f"{name}.modulation.bias"])
    weight = state[f"{name}.weight"]
    weight = weight / sqrt(prod(weight.shape[2:])) * styles.view(1, 1, -1, 1, 1)
    if demodulate:
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    if up:
        return filtered(F.conv_transpose2d(x, weight[0].transpose(0, 1), stride=2), 1, 1)
    return F.conv2d(x, weight[0], padding=weight.shape[-1] // 2)


def layer(state: State, name: str, noise: int, x: Tensor, w: Tensor, *, up: bool = False) -> Tensor:
    x = convolved(state, f"{name}.conv", x, w, up=up)
    x = x + state[f"{name}.noise.weight"] * state[f"noises.noise_{noise}"]
    return F.leaky_relu(x + state[f"{name}.activate.bias"].view(1, -1, 1, 1), 0.2) * sqrt(2)


def image_of(state: State, w: Tensor) -> Tensor:
    """One image of one code w (1, w_dim)."""
    x = layer(state, "conv1", 0, state["input.input"], w)
    image = convolved(state, "to_rgb1.conv", x, w, demodulate=False) + state["to_rgb1.bias"]
    for level in range(len(CONFIG.resolutions) - 1):
        x = layer(state, f"convs.{2 * level}", 2 * level + 1, x, w, up=True)
        x = layer(state, f"convs.{2 * level + 1}", 2 * level + 2, x, w)
        colours = convolved(state, f"to_rgbs.{level}.conv", x, w, demodulate=False)
        image = enlarged(image) + colours + state[f"to_rgbs.{level}.bias"]
    return image


def test_the_converted_generator_draws_the_same(tmp_path: Path) -> None:
    state, average = drawn(), torch.arange(8.0)
    torch.save({"g_ema": state, "latent_avg": average}, tmp_path / "stylegan2-ffhq-config-f.pt")
    made = FORMATS["stylegan2-rosinality"]([tmp_path / "stylegan2-ffhq-config-f.pt"])
    write_converted(tmp_path / "generator.safetensors", made)
    generator = load_network(tmp_path / "generator.safetensors")
    assert isinstance(generator, Generator)
    assert generator.config == CONFIG
    assert torch.equal(generator.mapping.w_avg, average)
    w = torch.randn(1, 8)
    found, wanted = generator.synthesis(w[:, None].expand(-1, CONFIG.num_ws, -1)), image_of(state, w)
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_the_mapping_is_the_same(tmp_path: Path) -> None:
    state = drawn()
    torch.save({"g_ema": state, "latent_avg": torch.zeros(8)}, tmp_path / "g.pt")
    write_converted(tmp_path / "g.safetensors", FORMATS["stylegan2-rosinality"]([tmp_path / "g.pt"]))
    z = torch.randn(3, 8)
    w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for number in (1, 2):
        weight, bias = state[f"style.{number}.weight"] * 0.01 / sqrt(8), state[f"style.{number}.bias"] * 0.01
        w = F.leaky_relu(F.linear(w, weight) + bias, 0.2) * sqrt(2)
    mapped = load_network(tmp_path / "g.safetensors").get_submodule("mapping")(z)[:, 0]
    assert (mapped - w).abs().max() < 1e-4 * w.abs().max()


def test_rosinalitys_names_cover_all_that_a_generator_learns() -> None:

    names = rosinality.names(CONFIG)
    learned = {name for name, _ in Generator(CONFIG).named_parameters()}
    noise = {name for name in Generator(CONFIG).state_dict() if name.endswith("noise_const")}
    assert names.keys() == learned | noise
    assert len(set(names.values())) == len(names)
