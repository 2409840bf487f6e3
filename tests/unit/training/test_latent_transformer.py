from typing import cast

import pytest
import torch
from torch import nn

from seamline.bundles import EditSpec, NetworkSource, load_bundle, put_directions, put_network
from seamline.networks.attributes import AttributeNetwork, AttributesConfig
from seamline.networks.e4e import E4eConfig, E4eEncoder
from seamline.networks.latent_transformer import LatentTransformer, LatentTransformerConfig
from seamline.networks.stylegan2 import Generator, GeneratorConfig
from tests.fakes.bundle import CONFIGS, tiny_bundle
from training.latent_codes import FURTHEST, Codes, Domain, Pictures, edited
from training.latent_transformer import EditingLoss, Reader, calibrate, evaluate, reading_loss, trusted
from training.loop import LoopConfig, train
from training.renderer.parameters import NAMES

P = len(NAMES)
NETWORKS = {
    "generator": (Generator, GeneratorConfig, {"z_dim": P, "w_dim": P, "resolution": 16, "channel_base": 64}),
    "e4e": (E4eEncoder, E4eConfig, {"w_dim": P, "generator_resolution": 16}),
    "attributes": (AttributeNetwork, AttributesConfig, {"names": ["smile", "age", "yaw"], "input_size": 16}),
}
"""Those of the tiny bundle whose codes are as long as the renderer's parameters."""


@pytest.fixture(scope="module")
def domain(tmp_path_factory):
    search = tmp_path_factory.mktemp("bundles")
    place = search / tiny_bundle(search).name
    torch.manual_seed(0)
    for kind, (network, config, changed) in NETWORKS.items():
        sizes = {**CONFIGS[kind], **changed}
        source = NetworkSource(module=network(config(**sizes)), config=sizes, licence="CC0-1.0", source="test")
        put_network(place, kind, source)
    directions = {"smile": torch.zeros(6, P), "yaw": torch.zeros(6, P)}
    directions["smile"][:, 0] = directions["yaw"][:, 2] = 1
    limits = {"description": "", "min_strength": -5.0, "max_strength": 5.0}
    put_directions(place, directions, [EditSpec(name=name, attribute=name, **limits) for name in directions])
    return Domain(load_bundle(place.name, search))


@pytest.fixture
def codes(domain):
    return Codes(count=12, num_ws=domain.bundle.num_ws, w_dim=P, seed=1)


class Mean(nn.Module):
    """Reads each attribute as the mean of one column of the codes."""

    def forward(self, ws: torch.Tensor) -> torch.Tensor:
        return ws.mean(1)[:, :3]


def perfect(domain: Domain) -> LatentTransformer:
    """Moves one column for smile and another for yaw, by one."""
    config = LatentTransformerConfig(names=("smile", "yaw"), num_ws=domain.bundle.num_ws, w_dim=P)
    maps = LatentTransformer(config)
    with torch.no_grad():
        maps.weight.zero_()
        maps.bias[0, :, 0] = maps.bias[1, :, 2] = 1
    return maps


def test_codes_are_a_function_of_the_step(codes):
    one, two, other = codes(3), codes(3), codes(4)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["z"], other["z"])
    assert one["z"].shape == (12, P)


def test_some_codes_are_of_w_and_the_others_as_wide_as_the_encoders(domain, codes):
    batch = {**codes(0), "shares": torch.linspace(0, 1, 12)}
    spread = torch.rand(domain.bundle.num_ws, P) + 0.5
    ws = domain.codes(batch, spread)
    wide = ((ws - domain.generator.mapping(batch["z"])) / spread).flatten(1).std(1)
    assert (wide[:3] == 0).all()
    assert float(wide[-1]) == pytest.approx(1.5, rel=0.2)


def test_the_encoders_spread_is_that_of_its_layers(domain, monkeypatch):
    spread = domain.encoder_spread(count=4)
    assert spread.shape == (domain.bundle.num_ws, P)
    assert spread.max() > 0
    encoded = domain.bundle.infer

    def in_w(kind, *inputs):
        found = encoded(kind, *inputs)
        return found[:, :1].expand_as(found) if kind == "e4e" else found

    monkeypatch.setattr(domain.bundle, "infer", in_w)
    torch.testing.assert_close(domain.encoder_spread(count=4), torch.zeros_like(spread), atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_map_that_does_as_asked_costs_only_its_change(domain, codes):
    loss = EditingLoss(domain=domain, spread=torch.zeros(domain.bundle.num_ws, P), reader=Mean())
    batch = codes(0)
    paid = float(loss(perfect(domain), batch))
    maps = perfect(domain)
    with torch.no_grad():
        maps.bias[0, :, 1] = 1  # takes age along with smile
    assert float(loss(maps, batch)) > paid + 0.1
    with torch.no_grad():
        maps.bias.zero_()
    assert float(loss(maps, batch)) > 5 * paid


def test_strengths_stay_in_the_range_of_what_is_rendered(domain, codes):
    asked = []

    class Asked(LatentTransformer):
        def offsets(self, ws: torch.Tensor) -> torch.Tensor:
            asked.append(ws)
            return super().offsets(ws)

    maps = Asked(perfect(domain).config)
    maps.load_state_dict(perfect(domain).state_dict())
    moved = []

    class Watching(Mean):
        def forward(self, ws: torch.Tensor) -> torch.Tensor:
            moved.append(ws)
            return super().forward(ws)

    batch = codes(5)
    EditingLoss(domain=domain, spread=torch.zeros(domain.bundle.num_ws, P), reader=Watching())(maps, batch)
    after = moved[1].unflatten(0, (2, -1)).mean(2)
    reached = torch.stack([after[0, :, 0], after[1, :, 2]])
    before = asked[0].mean(2)
    inside = torch.stack([before[0, :, 0], before[1, :, 2]])
    low, high = domain.low[[0, 2], None], domain.high[[0, 2], None]
    kept = (inside > low) & (inside < high)
    assert kept.any()
    assert ((reached >= low - 1e-4) & (reached <= high + 1e-4))[kept].all()


def test_training_finds_the_maps(domain, codes, tmp_path):
    torch.manual_seed(0)
    loss = EditingLoss(domain=domain, spread=torch.full((domain.bundle.num_ws, P), 0.1), reader=Mean())
    maps = LatentTransformer(LatentTransformerConfig(names=("smile", "yaw"), num_ws=domain.bundle.num_ws, w_dim=P))
    trained = cast(
        LatentTransformer, train(maps, loss, codes, tmp_path, LoopConfig(steps=120, learning_rate=0.05, ema=0.9))
    )
    ws = domain.codes(codes(999), loss.spread)
    change = Mean()(trained(ws, torch.tensor([[1.0, 0.0]]).expand(len(ws), 2))) - Mean()(ws)
    assert change[:, 0].mean() > 0.7
    assert change[:, 1:].mean(0).abs().max() < 0.2


def test_the_reader_learns_what_the_attribute_network_sees(domain, tmp_path):
    torch.manual_seed(0)
    spread = torch.full((domain.bundle.num_ws, P), 0.1)
    pictures = Pictures.draw(domain, spread, tmp_path / "pictures.safetensors", count=100, seed=1)
    torch.testing.assert_close(pictures.values[:5], domain.read(pictures.codes[:5]), rtol=2e-2, atol=2e-2)
    reader = Reader(domain.bundle.num_ws, P, 3, width=16)
    before = float(reading_loss(reader, pictures(99)).detach())
    trained = train(reader, reading_loss, pictures, tmp_path, LoopConfig(steps=40, learning_rate=3e-3, ema=0.9))
    assert float(reading_loss(trained, pictures(99))) < 0.7 * before
    figures = evaluate(perfect(domain).eval(), trained, domain, spread, faces=4)
    assert figures.keys() == {"reader_r2_mean"} | {
        f"{what}_{n}" for what in ("effect", "linear", "leakage") for n in ("smile", "yaw")
    }
    for name in ("smile", "yaw"):  # the perfect maps do what the directions do
        assert figures[f"effect_{name}"] == pytest.approx(figures[f"linear_{name}"], abs=1e-6)
        assert figures[f"effect_{name}"] != 0


def test_pictures_are_drawn_once_and_read_back(domain, tmp_path, monkeypatch):
    spread, path = torch.full((domain.bundle.num_ws, P), 0.1), tmp_path / "pictures.safetensors"
    drawn = Pictures.draw(domain, spread, path, count=25, seed=1)
    monkeypatch.setattr(Domain, "read", lambda *_: pytest.fail("drawn again"))
    again = Pictures.draw(domain, spread, path, count=25, seed=1)
    assert torch.equal(drawn.codes, again.codes)
    assert torch.equal(drawn(7)["values"], again(7)["values"])
    assert not torch.equal(drawn(7)["codes"], drawn(8)["codes"])


def test_each_code_is_edited_by_one_attribute_and_the_attributes_take_turns(domain):
    ws = torch.zeros(4, domain.bundle.num_ws, P)
    moved = edited(perfect(domain), ws, {"targets": torch.tensor([0.0, 0.25, 0.5, 1.0])})[:, 0, [0, 2]]
    expected = torch.tensor([[-1.0, 0.0], [0.0, -0.5], [0.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(moved, FURTHEST * expected)


def test_a_later_rounds_pictures_are_of_what_the_maps_made(domain, tmp_path):
    spread, maps = torch.full((domain.bundle.num_ws, P), 0.1), perfect(domain)
    plain = Pictures.draw(domain, spread, tmp_path / "plain.safetensors", count=50, seed=1)
    made = Pictures.draw(domain, spread, tmp_path / "made.safetensors", count=50, seed=1, maps=maps)
    columns = (made.codes - plain.codes).abs().amax((0, 1)) > 0
    assert columns.nonzero()[:, 0].tolist() == [0, 2]
    torch.testing.assert_close(made.values[:25], domain.read(made.codes[:25]), rtol=2e-2, atol=2e-2)
    both = plain + made
    assert (len(both.codes), len(both.values)) == (100, 100)
    assert torch.equal(both.codes[50:], made.codes)


def test_calibrated_maps_move_as_far_as_the_directions_but_none_is_blown_up(domain):
    maps = perfect(domain)
    codes = torch.zeros(2, domain.bundle.num_ws, P)
    before = maps.offsets(codes[None])
    calibrate(maps, {"effect_smile": 0.5, "linear_smile": 0.75, "effect_yaw": 0.01, "linear_yaw": 1.0})
    torch.testing.assert_close(maps.offsets(codes[None]), before * torch.tensor([1.5, 4.0])[:, None, None, None])


def test_maps_that_move_another_attribute_more_are_left_out(domain):
    maps = perfect(domain)
    kept = trusted(maps, {"leakage_smile": 0.8, "leakage_yaw": 0.1})
    assert kept.config.names == ("yaw",)
    ws = torch.randn(2, domain.bundle.num_ws, P)
    torch.testing.assert_close(kept(ws, torch.ones(2, 1)), maps(ws, torch.tensor([[0.0, 1.0]] * 2)))


def test_says_that_no_map_is_to_be_trusted(domain):
    with pytest.raises(ValueError, match="take more steps"):
        trusted(perfect(domain), {"leakage_smile": 0.8, "leakage_yaw": 0.5})
