import pytest
import torch

from seamline.bundles import load_bundle, write_bundle
from seamline.editing.latent_transformer import check, moved
from seamline.errors import Precondition, UnknownEdit
from tests.fakes.bundle import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def codes(bundle):
    return torch.randn(3, bundle.num_ws, bundle.w_dim, generator=torch.Generator().manual_seed(0))


def test_every_frame_moves_by_its_own_strength_along_its_own_way(bundle, codes):
    strength = torch.tensor([0.0, 1.0, -2.0])
    edited = moved(bundle, "age", codes, strength)
    network = bundle.module("latent_transformer")
    ways = network.offsets(codes[None])[network.config.names.index("age")]
    torch.testing.assert_close(edited, codes + strength[:, None, None] * ways)
    assert torch.equal(edited[0], codes[0])
    assert not torch.allclose(ways[1], ways[2], atol=0.1)


def test_edited_codes_can_be_tuned(bundle, codes):
    edited = moved(bundle, "smile", codes, torch.ones(3))
    weight = torch.ones(bundle.w_dim, requires_grad=True)
    (edited * weight).sum().backward()
    assert weight.grad is not None


def test_what_the_network_cannot_do_is_said_with_what_it_can(bundle):
    check(bundle, "smile", field="edits[2].method")
    with pytest.raises(UnknownEdit, match="has no edit 'hat'; it has: smile, age") as caught:
        check(bundle, "hat", field="edits[2].method")
    assert caught.value.field == "edits[2].method"


def test_a_bundle_without_it_says_so(tmp_path):
    write_bundle(tmp_path / "bare", name="bare", resolution=64)
    with pytest.raises(Precondition, match="no latent transformer") as caught:
        moved(load_bundle("bare", tmp_path), "smile", torch.zeros(1, 10, 16), torch.zeros(1))
    assert caught.value.field
