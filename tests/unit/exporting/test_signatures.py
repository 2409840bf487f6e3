"""What the models say they take and give is what the networks take and give."""

import pytest
import torch

from seamline.errors import InvalidInput
from seamline.exporting.bundle import models_of, signature_of
from seamline.exporting.signatures import MODELS, Side, draw
from seamline.networks.registry import KINDS
from tests.fakes.bundle import tiny_bundle

NOT_EXPORTED = {"generator", "hyperstyle"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


def test_every_frozen_network_can_be_exported() -> None:
    assert {model.kind for model in MODELS.values()} == set(KINDS) - NOT_EXPORTED


@pytest.mark.parametrize("name", MODELS)
def test_a_network_gives_what_its_signature_says(bundle, name) -> None:
    signature, module = signature_of(bundle, name), bundle.model(name)
    inputs = draw(signature, 2, 1)
    output = module(*inputs)
    assert output.dtype == torch.float32
    for port, tensor in [*zip(signature.inputs, inputs, strict=True), (signature.output, output)]:
        assert str(tensor.dtype) == f"torch.{port.dtype}"
        assert len(tensor) == 2
        fixed = [(side, found) for side, found in zip(port.shape, tensor.shape[1:], strict=True)]
        assert all(isinstance(side, Side) or side == found for side, found in fixed), (port, tensor.shape)
        assert all(found % side.multiple == 0 for side, found in fixed if isinstance(side, Side))


def test_free_sides_differ_from_each_other_and_from_draw_to_draw(bundle) -> None:
    signature = signature_of(bundle, "detector")
    (first,), (second,) = draw(signature, 1, 0), draw(signature, 1, 1)
    assert first.shape[2] != first.shape[3]
    assert first.shape[2:] != second.shape[2:]


def test_drawn_texts_end_and_have_words_before(bundle) -> None:
    config = bundle.module("clip").config
    (tokens,) = draw(signature_of(bundle, "clip_text"), 8, 0)
    assert (tokens[:, -1] == config.end_token).all()
    assert (tokens[:, 0] != config.end_token).all()
    assert int(tokens.max()) < config.vocabulary
    ends = (tokens == config.end_token).int()
    assert (ends.diff(dim=1) >= 0).all()
    assert len(set(ends.sum(1).tolist())) > 1


def test_a_model_that_is_not_there_is_named_with_those_that_are(bundle) -> None:
    assert list(models_of(bundle)) == list(MODELS)
    assert list(models_of(bundle, ["e4e", "clip_text"])) == ["e4e", "clip_text"]
    known = r"no generator to export; it has: landmarks, detector, s3fd, .*clip_text"
    with pytest.raises(InvalidInput, match=known) as error:
        models_of(bundle, ["generator"])
    assert error.value.field == "kind"
