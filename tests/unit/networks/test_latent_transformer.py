import pytest
import torch

from seamline.errors import InvalidInput
from seamline.networks.latent_transformer import LatentTransformer, LatentTransformerConfig, from_public

NAMES, L, D = ("smile", "age", "hat"), 4, 6


def network() -> LatentTransformer:
    torch.manual_seed(0)
    made = LatentTransformer(LatentTransformerConfig(names=NAMES, num_ws=L, w_dim=D))
    torch.nn.init.normal_(made.bias)
    return made.requires_grad_(False)


def one(name: str, strength: float, count: int = 2) -> torch.Tensor:
    strengths = torch.zeros(count, len(NAMES))
    strengths[:, NAMES.index(name)] = strength
    return strengths


def public_state(layers: int = L, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    shapes = {"weight": (D, D), "bias": (D,)}
    return {
        f"dense.{layer}.{part}": torch.randn(shape, generator=rng)
        for layer in range(layers)
        for part, shape in shapes.items()
    }


def test_no_strength_changes_nothing():
    ws = torch.randn(2, L, D)
    assert torch.equal(network()(ws, torch.zeros(2, 3)), ws)


def test_edits_grow_with_their_strength_and_add_up():
    edit, ws = network(), torch.randn(2, L, D)
    weak = edit(ws, one("smile", 0.5)) - ws
    torch.testing.assert_close(edit(ws, one("smile", -1.5)) - ws, -3 * weak)
    both = edit(ws, one("smile", 0.5) + one("hat", 2.0)) - ws
    torch.testing.assert_close(both, weak + edit(ws, one("hat", 2.0)) - ws)


def test_every_picture_of_a_batch_has_its_own_strengths():
    edit, ws = network(), torch.randn(2, L, D)
    strengths = torch.stack([one("age", 1.0)[0], one("hat", -1.0)[0]])
    alone = [edit(ws[i : i + 1], strengths[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(edit(ws, strengths), torch.cat(alone))


def test_offsets_are_what_a_strength_of_one_adds():
    edit, ws = network(), torch.randn(2, L, D)
    offsets = edit.offsets(ws[None])
    for number, name in enumerate(NAMES):
        torch.testing.assert_close(edit(ws, one(name, 1.0)) - ws, offsets[number])


def test_the_direction_depends_on_the_face():
    edit, ws = network(), torch.randn(2, L, D)
    moved = edit(ws, one("age", 1.0)) - ws
    assert (moved[0] - moved[1]).abs().max() > 0.1


def test_public_checkpoints_give_the_formula_of_the_paper():
    states = {name: public_state(seed=number) for number, name in enumerate(NAMES)}
    config, tensors = from_public(states)
    assert config == LatentTransformerConfig(names=NAMES, num_ws=L, w_dim=D)
    edit, ws = LatentTransformer(config), torch.randn(2, L, D)
    edit.load_state_dict(tensors)
    own = states["age"]
    layers = [
        ws[:, layer] @ (own[f"dense.{layer}.weight"] / D**0.5).T + own[f"dense.{layer}.bias"] for layer in range(L)
    ]
    with torch.no_grad():
        torch.testing.assert_close(edit(ws, one("age", 0.7)), ws + 0.7 * torch.stack(layers, 1))


def test_the_public_size_is_that_of_the_authors_network():
    with torch.device("meta"):
        sizes = LatentTransformer(LatentTransformerConfig(names=("Smiling",))).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in sizes.items()} == {
        "weight": (1, 18, 512, 512),
        "bias": (1, 18, 512),
    }


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({}, "differ in size, or there are none"),
        ({"smile": public_state(), "age": public_state(layers=3)}, "differ in size"),
        ({"smile": {"dense.0.weight": torch.zeros(D, D)}}, "smile: needs dense"),
        ({"smile": public_state() | {"other.weight": torch.zeros(1), "other.bias": torch.zeros(1)}}, "smile: needs"),
    ],
)
def test_other_checkpoints_are_refused(states, message):
    with pytest.raises(InvalidInput, match=message):
        from_public(states)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"codes .*\(\*, 4, 6\), got \(2, 5, 6\)"):
        network()(torch.zeros(2, 5, D), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"strengths .*\(2, 3\), got \(2, 2\)"):
        network()(torch.zeros(2, L, D), torch.zeros(2, 2))


@pytest.mark.parametrize("names", [(), ("smile", "smile")])
def test_names_must_tell_the_attributes_apart(names):
    with pytest.raises(InvalidInput, match="distinct"):
        LatentTransformerConfig(names=names)
