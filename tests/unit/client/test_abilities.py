import pytest

from seamline.bundles import load_bundle
from seamline.client.abilities import abilities, check_inversion
from seamline.errors import Precondition
from seamline.v1.inverter_pb2 import (
    INVERSION_METHOD_ENCODER,
    INVERSION_METHOD_HYPERSTYLE,
    INVERSION_METHOD_PTI,
    InvertOptions,
)
from seamline.v1.media_pb2 import EDIT_METHOD_DIRECTION, EDIT_METHOD_LATENT_TRANSFORMER
from tests.fakes.bundle import tiny_bundle
from tests.fakes.relevance import with_relevance

HYPERSTYLE = InvertOptions(method=INVERSION_METHOD_HYPERSTYLE)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return with_relevance(tiny_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def changed(bundle, tmp_path):
    """Makes the bundle with another manifest."""

    def make(old, new):
        (tmp_path / "changed").mkdir()
        text = (bundle.directory / "bundle.toml").read_text()
        assert old in text
        (tmp_path / "changed" / "bundle.toml").write_text(text.replace(old, new))
        return load_bundle("changed", tmp_path)

    return make


def test_a_bundle_with_every_network_can_do_everything(bundle):
    can = abilities(bundle)
    assert (can.bundle, can.text) == ("tiny-64", True)
    assert set(can.inversions) == {INVERSION_METHOD_PTI, INVERSION_METHOD_ENCODER, INVERSION_METHOD_HYPERSTYLE}
    assert [(e.name, e.min_strength, e.max_strength) for e in can.edits] == [("smile", -3, 3), ("age", -2, 4)]
    assert all(list(e.methods) == [EDIT_METHOD_DIRECTION, EDIT_METHOD_LATENT_TRANSFORMER] for e in can.edits)
    check_inversion(HYPERSTYLE, bundle)


def test_without_a_hypernetwork_two_inversions_remain(changed):
    bundle = changed("[networks.hyperstyle", "[other.hyperstyle")
    assert list(abilities(bundle).inversions) == [INVERSION_METHOD_PTI, INVERSION_METHOD_ENCODER]
    with pytest.raises(Precondition, match="no hypernetwork") as error:
        check_inversion(HYPERSTYLE, bundle)
    assert error.value.field == "invert.method"
    check_inversion(InvertOptions(), bundle)


@pytest.mark.parametrize("table", ["networks.clip", "relevance"])
def test_texts_need_a_clip_and_what_it_measured(changed, table):
    assert not abilities(changed(f"[{table}", f"[other.{table}")).text


def test_a_latent_transformer_is_offered_for_the_edits_that_it_knows(changed):
    section = '[networks.latent_transformer.config]\nnames = ["smile", "age"]'
    can = abilities(changed(section, section.replace('"smile", "age"', '"age"')))
    methods = {edit.name: list(edit.methods) for edit in can.edits}
    assert methods["smile"] == [EDIT_METHOD_DIRECTION]
    assert methods["age"] == [EDIT_METHOD_DIRECTION, EDIT_METHOD_LATENT_TRANSFORMER]
