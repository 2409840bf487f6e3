import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from seamline.errors import InvalidInput
from seamline.networks.hyperstyle import (
    HyperStyle,
    HyperStyleConfig,
    SharedWeightsHypernet,
    accumulate,
    refine,
    refined_weights,
)
from seamline.networks.stylegan2 import Generator, GeneratorConfig

GENERATOR = GeneratorConfig(resolution=64, z_dim=4, w_dim=8, mapping_layers=1, channel_base=256, channel_max=16)
SMALL = HyperStyleConfig(
    input_size=64,
    resolution=64,
    channel_base=256,
    channel_max=16,
    width=4,
    units=(1, 1, 1, 1),
    code_width=8,
    shared_width=4,
    own_width=4,
    shared_kernel=1,
)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(GENERATOR).eval().requires_grad_(False)


def trained(config: HyperStyleConfig = SMALL) -> HyperStyle:
    """A hypernetwork whose last matrices are no longer 0."""
    torch.manual_seed(1)
    network = HyperStyle(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("output.1.weight", "w1", "b1")):
                parameter.copy_(0.1 * torch.randn(parameter.shape))
    return network


def pictures(count: int = 2, size: int = 64) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(2)) * 2 - 1


def codes(count: int = 2) -> Tensor:
    return torch.randn(count, GENERATOR.num_ws, 8, generator=torch.Generator().manual_seed(3))


def test_an_untrained_network_draws_what_the_generator_draws(generator: Generator):
    with torch.inference_mode():
        weights = refine(HyperStyle(SMALL).eval(), generator, pictures(), codes())
        assert len(weights) == 9
        torch.testing.assert_close(generator.synthesis(codes(), "const", weights), generator.synthesis(codes()))


def test_no_pass_changes_no_filter(generator: Generator):
    assert refine(trained(), generator, pictures(), codes(), passes=0) == {}


@torch.inference_mode()
def test_passes_add_up_and_each_looks_at_what_the_last_one_drew(generator: Generator):
    network = trained()
    first = network(pictures(), generator.synthesis(codes()))
    second = network(pictures(), generator.synthesis(codes(), "const", refined_weights(generator, first)))
    assert (first["b8.conv0.weight"] - second["b8.conv0.weight"]).abs().max() > 1e-4
    for name, filters in refine(network, generator, pictures(), codes(), passes=2).items():
        expected = generator.get_parameter(f"synthesis.{name}") * (1 + first[name] + second[name])
        torch.testing.assert_close(filters, expected)


@torch.inference_mode()
def test_samples_do_not_touch_each_other(generator: Generator):
    together = refine(trained(), generator, pictures(), codes(), passes=1)
    alone = refine(trained(), generator, pictures()[1:], codes()[1:], passes=1)
    for name, filters in alone.items():
        torch.testing.assert_close(together[name][1:], filters, rtol=1e-3, atol=1e-4)
        assert (together[name][0] - filters[0]).abs().max() > 1e-4


def test_gradients_reach_every_parameter(generator: Generator):
    network = trained().train()
    weights = refined_weights(generator, network(pictures(), pictures().flip(0)))
    (generator.synthesis(codes(), "none", weights) - pictures()).square().mean().backward()
    silent = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().max() > 0]
    assert silent == []


def test_offsets_are_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        offsets = trained()(pictures(), pictures())
    assert {offset.dtype for offset in offsets.values()} == {torch.float32}


def test_first_offsets_are_taken_as_they_are():
    more = {"b4.conv1.weight": torch.ones(1)}
    assert accumulate({}, more) == more
    assert accumulate(more, more)["b4.conv1.weight"].item() == 2


def test_only_the_chosen_blocks_are_refined():
    offsets = trained(replace(SMALL, blocks=(16, 32)))(pictures(), pictures())
    shapes = {name: tuple(offset.shape) for name, offset in offsets.items()}
    assert shapes == {
        "b16.conv0.weight": (2, 16, 16, 1, 1),
        "b16.conv1.weight": (2, 16, 16, 1, 1),
        "b32.conv0.weight": (2, 8, 16, 1, 1),
        "b32.conv1.weight": (2, 8, 8, 1, 1),
    }


def test_shared_factors_of_whole_kernels_are_laid_out_as_filters():
    torch.manual_seed(0)
    shared = SharedWeightsHypernet(5, 4, 3)
    for parameter in shared.parameters():
        torch.nn.init.normal_(parameter)
    code = torch.randn(2, 5)
    rows = torch.einsum("bz,zoy->boy", code, shared.w2.view(5, 4, 5)) + shared.b2.view(4, 5)
    expected = torch.einsum("boy,yikl->boikl", rows, shared.w1.view(5, 4, 3, 3)) + shared.b1.view(4, 3, 3)
    torch.testing.assert_close(shared(code), expected, rtol=1e-4, atol=1e-4)


def public_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the public FFHQ checkpoint's `hypernet`, without the repeated shared part."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 6, 7, 7), "relu.weight": (64,)}
    shapes |= batch_norm("bn1", 64)
    unit, inputs = 0, 64
    for width, units in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for _ in range(units):
            shapes |= basic_block(f"body.{unit}", inputs, width)
            unit, inputs = unit + 1, width
    shapes |= {"w1": (512, 512 * 9), "b1": (512 * 9,), "w2": (512, 512 * 512), "b2": (512 * 512,)}
    shapes = {f"shared_weight_hypernet.{n}" if n in ("w1", "b1", "w2", "b2") else n: s for n, s in shapes.items()}
    for index in (0, 2, 3, 5, 6, 8, 9, 11, 12):
        block = f"refinement_blocks.{index}"
        shapes |= convolutions(f"{block}.convs", (512, 128, 128, 128, 128, 512))
        shapes |= {f"{block}.linear.weight": (512, 512), f"{block}.linear.bias": (512,)}
    pairs = {14: (512, 256), 15: (256, 256), 17: (256, 128), 18: (128, 128)}
    pairs |= {20: (128, 64), 21: (64, 64), 23: (64, 32), 24: (32, 32)}
    for index, (inputs, outputs) in pairs.items():
        block = f"refinement_blocks.{index}"
        shapes |= convolutions(f"{block}.convs", (512, 256, 256, 512))
        shapes |= {f"{block}.output.1.weight": (inputs * outputs, 512, 1, 1)}
        shapes |= {f"{block}.output.1.bias": (inputs * outputs,)}
    return shapes


def batch_norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    vectors = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return vectors | {f"{name}.num_batches_tracked": ()}


def basic_block(name: str, inputs: int, width: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.conv1.weight": (width, inputs, 3, 3), f"{name}.conv2.weight": (width, width, 3, 3)}
    shapes |= batch_norm(f"{name}.bn1", width) | batch_norm(f"{name}.bn2", width)
    if inputs != width:
        shapes |= {f"{name}.downsample.0.weight": (width, inputs, 1, 1)} | batch_norm(f"{name}.downsample.1", width)
    return shapes


def convolutions(name: str, widths: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        shapes |= {f"{name}.{2 * index}.weight": (outputs, inputs, 3, 3), f"{name}.{2 * index}.bias": (outputs,)}
    return shapes


def test_default_sizes_are_the_public_ones():
    with torch.device("meta"):
        network = HyperStyle(HyperStyleConfig())
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == public_shapes()
    assert sum(math.prod(parameter.shape) for parameter in network.parameters()) == 332_664_896


def test_default_layers_fit_the_public_generator():
    with torch.device("meta"):
        filters = dict(Generator(GeneratorConfig()).synthesis.named_parameters())
    layers = HyperStyleConfig().layers
    assert len(layers) == 17
    assert all(tuple(filters[layer.name].shape[:2]) == (layer.outputs, layer.inputs) for layer in layers)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("input_size", 100, "input_size must be a power of two"),
        ("shared_kernel", 2, "shared_kernel must be 1 or 3"),
        ("blocks", [8, 12], r"blocks must be among .*, got \[12\]"),
        ("resolution", 100, "resolution must be a power of two"),
    ],
)
def test_impossible_configs_are_refused(field, value, message):
    with pytest.raises(InvalidInput, match=message) as refused:
        HyperStyleConfig(**{field: value})
    assert refused.value.field == field


def test_wrong_shapes_are_named():
    network = trained()
    with pytest.raises(ValueError, match="hypernetwork images"):
        network(pictures(size=32), pictures(size=32))
    with pytest.raises(ValueError, match="hypernetwork drawings"):
        network(pictures(size=128), pictures())
