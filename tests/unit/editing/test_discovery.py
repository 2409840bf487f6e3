from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from seamline.bundles import Bundle
from seamline.editing.discovery import SAMPLES, SEED, Method, discovered
from seamline.editing.fit import random_codes
from seamline.errors import InvalidInput
from seamline.networks.stylegan2 import Generator
from tests.fakes.bundle import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


def styles_moved(bundle: Bundle, direction: torch.Tensor) -> float:
    """Summed squares of how far the convolutions' styles go, each as a share of the farthest that it could go."""
    synthesis, moved = cast(Generator, bundle.module("generator")).synthesis, 0.0
    for block in synthesis.blocks:
        for layer in block.styled_layers()[:-1]:
            weight = layer.affine.weight
            moved += float(((weight @ direction) / weight.norm(dim=1)).square().sum())
    return moved


@given(seed=st.integers(0, 1000))
def test_no_direction_moves_the_styles_more_than_sefa_s_first(bundle, seed):
    first, *_, last = (found[0] / found[0].norm() for found in discovered(bundle, Method.SEFA, bundle.w_dim))
    other = torch.nn.functional.normalize(
        torch.randn(bundle.w_dim, generator=torch.Generator().manual_seed(seed)), dim=0
    )
    assert styles_moved(bundle, last) <= styles_moved(bundle, other) <= styles_moved(bundle, first)


def test_ganspace_s_are_the_principal_components_of_codes(bundle):
    decomposition = pytest.importorskip("sklearn.decomposition")
    codes = random_codes(bundle, SAMPLES, SEED)
    wanted = decomposition.PCA(n_components=3, svd_solver="full").fit(codes.numpy())
    found = discovered(bundle, Method.GANSPACE, 3)[:, 0]
    cosines = (normalize(found) @ torch.from_numpy(wanted.components_).float().T).abs()
    assert cosines.diagonal().min() > 0.999
    assert found.norm(dim=1).numpy() == pytest.approx(wanted.explained_variance_**0.5, rel=1e-3)


@pytest.mark.parametrize("method", Method)
def test_directions_are_orthogonal_and_move_only_the_codes_that_are_asked_for(bundle, method):
    found = discovered(bundle, method, 4, layers=(1, 3))
    assert found.shape == (4, bundle.num_ws, bundle.w_dim)
    assert not found[:, 0].any()
    assert not found[:, 3:].any()
    assert (found[:, 1] == found[:, 2]).all()
    products = found[:, 1] @ found[:, 1].T
    assert torch.allclose(products, products.diag().diag(), atol=1e-4)
    assert torch.allclose(discovered(bundle, method, 2, layers=(1, 3)), found[:2], rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "count", "field"),
    [((0, 99), 1, "layers"), ((3, 2), 1, "layers"), (None, 0, "count"), (None, 10_000, "count")],
)
def test_what_the_generator_does_not_have_is_refused(bundle, layers, count, field):
    with pytest.raises(InvalidInput) as raised:
        discovered(bundle, Method.SEFA, count, layers)
    assert raised.value.field == field
