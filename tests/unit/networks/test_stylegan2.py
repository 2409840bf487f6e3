import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from seamline.errors import InvalidInput
from seamline.networks.stylegan2 import Generator, GeneratorConfig

SMALL = GeneratorConfig(
    resolution=32,
    z_dim=8,
    w_dim=16,
    mapping_layers=1,
    mapping_activation="linear",
    mapping_lr_multiplier=1.0,
    normalize_z=False,
    channel_base=256,
    channel_max=16,
)


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    network = Generator(SMALL)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return network


@pytest.fixture
def ws() -> Tensor:
    return torch.randn(3, SMALL.num_ws, SMALL.w_dim, generator=torch.Generator().manual_seed(1))


def different_weights(generator: Generator, batch: int) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(2)
    weights = generator.per_sample_weights(batch)
    with torch.no_grad():
        for tensor in weights.values():
            tensor += 0.2 * torch.randn(tensor.shape, generator=noise)
    return weights


def test_weights_per_sample_equal_one_run_per_sample(generator: Generator, ws: Tensor):
    weights = different_weights(generator, len(ws))
    together = generator.synthesis(ws, weights=weights)
    for index, image in enumerate(together):
        own = {name: tensor[index] for name, tensor in weights.items()}
        alone = functional_call(generator.synthesis, own, (ws[index : index + 1],))
        torch.testing.assert_close(image, alone[0], rtol=1e-4, atol=1e-4)


def test_gradients_of_weights_per_sample_stay_apart(generator: Generator, ws: Tensor):
    weights = different_weights(generator, len(ws))
    target = torch.ones(len(ws), 3, SMALL.resolution, SMALL.resolution)
    (generator.synthesis(ws, weights=weights) - target)[1].square().mean().backward()
    alone = {name: tensor[1].detach().requires_grad_() for name, tensor in weights.items()}
    image = functional_call(generator.synthesis, alone, (ws[1:2],))
    (image[0] - target[1]).square().mean().backward()
    for name, tensor in weights.items():
        assert tensor.grad is not None
        assert alone[name].grad is not None
        assert not tensor.grad[[0, 2]].any(), name
        torch.testing.assert_close(tensor.grad[1], alone[name].grad, rtol=1e-3, atol=1e-5)


def test_some_weights_may_stay_shared(generator: Generator, ws: Tensor):
    every = generator.per_sample_weights(len(ws))
    some = {name: tensor for name, tensor in every.items() if name.startswith("b32.")}
    torch.testing.assert_close(generator.synthesis(ws, weights=some), generator.synthesis(ws), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("per_sample", [False, True])
def test_bfloat16_is_close_to_float32(generator: Generator, ws: Tensor, per_sample: bool):
    weights = generator.per_sample_weights(len(ws)) if per_sample else None
    exact = generator.synthesis(ws)
    with torch.autocast("cpu", torch.bfloat16):
        styles = generator.styles(ws)
        image = generator.synthesis(ws, weights=weights)
    assert image.dtype == styles[0].dtype == torch.float32
    assert (image - exact).abs().max() < 0.03 * exact.abs().max()
    image.square().mean().backward()


def test_styles_and_codes_draw_the_same(generator: Generator, ws: Tensor):
    styles = generator.styles(ws)
    torch.testing.assert_close(generator.synthesis_from_styles(styles), generator.synthesis(ws))
    assert not torch.equal(generator.synthesis_from_styles(styles, "none"), generator.synthesis(ws))


def test_linear_mapping_is_affine(generator: Generator):
    first, second = torch.randn(2, 1, SMALL.z_dim).unbind()
    between = generator.mapping((first + second) / 2)
    torch.testing.assert_close(between, (generator.mapping(first) + generator.mapping(second)) / 2)
    assert between.shape == (1, SMALL.num_ws, SMALL.w_dim)


def test_normalized_input_has_no_scale():
    network = Generator(GeneratorConfig(resolution=8, z_dim=8, w_dim=8, mapping_layers=2, channel_max=4))
    z = torch.randn(2, 8)
    torch.testing.assert_close(network.mapping(z), network.mapping(3 * z), rtol=1e-4, atol=1e-6)


def test_truncation_leads_to_the_average(generator: Generator):
    generator.mapping.w_avg.normal_()
    z = torch.randn(2, SMALL.z_dim)
    torch.testing.assert_close(generator.mapping(z, psi=0.0)[0, 0], generator.mapping.w_avg)


def test_official_size_has_the_official_number_of_parameters():
    with torch.device("meta"):
        network = Generator(GeneratorConfig())
    assert network.config.num_ws == 18
    assert sum(parameter.numel() for parameter in network.parameters()) == 30_370_060
    assert len(network.state_dict()) == 182


@pytest.mark.parametrize(
    ("change", "message"),
    [({"resolution": 48}, "power of two"), ({"mapping_activation": "relu"}, "mapping_activation")],
)
def test_config_refuses_what_cannot_be_built(change, message):
    with pytest.raises(InvalidInput, match=message):
        GeneratorConfig(**change)


def test_wrong_shapes_are_named(generator: Generator, ws: Tensor):
    with pytest.raises(ValueError, match=r"mapping input z .*expected shape \(\*, 8\), got \(2, 9\)"):
        generator.mapping(torch.zeros(2, 9))
    with pytest.raises(ValueError, match=r"synthesis input ws .*expected shape \(\*, 8, 16\), got \(3, 7, 16\)"):
        generator.synthesis(ws[:, 1:])
    styles = generator.styles(ws)
    with pytest.raises(ValueError, match="expected 11 tensors, one per layer, got 10"):
        generator.synthesis_from_styles(styles[1:])
    with pytest.raises(ValueError, match=r"styles\[10\]"):
        generator.synthesis_from_styles([*styles[:-1], styles[-1][:, 1:]])
