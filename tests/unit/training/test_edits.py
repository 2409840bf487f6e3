import pytest

from tests.fakes.bundle import tiny_bundle
from training.edits import comparison, edits_table, measure, transforms


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


def test_both_ways_of_an_edit_are_measured_alike(bundle):
    linear, transformed = measure(bundle, linear=True, faces=3), measure(bundle, linear=False, faces=3)
    assert linear.keys() == transformed.keys() == {"smile", "age"}
    assert linear["age"].response != transformed["age"].response
    assert "| [age](edits/age.png) | Look older |" in edits_table(bundle.edits, linear)
    assert f"| smile | {linear['smile'].effect:.2f} / {transformed['smile'].effect:.2f} |" in comparison(
        linear, transformed
    )


def test_only_what_the_latent_transformer_knows_is_its_to_do(bundle):
    assert transforms(bundle, "smile")
    assert not transforms(bundle, "hat")
