import pytest
import torch
from safetensors.torch import load_file, save_file

from seamline.bundles import NetworkSource, load_bundle, put_defaults, put_network
from seamline.errors import DigestMismatch, InvalidInput, NotFound, UnknownEdit
from seamline.networks.bisenet import IMAGENET_MEAN, IMAGENET_STD
from seamline.networks.registry import KINDS
from tests.fakes.bundle import tiny_bundle


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles")
    tiny_bundle(path)
    return path


@pytest.fixture
def own(tmp_path):
    return tiny_bundle(tmp_path).directory


def test_every_kind_of_network_loads_frozen(search):
    bundle = load_bundle("tiny-64", search)
    for kind in KINDS:
        module = bundle.module(kind)
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert all(p.dtype == torch.float32 for p in module.parameters())


def test_a_network_is_read_once(search):
    bundle = load_bundle("tiny-64", search)
    assert bundle.module("generator") is bundle.module("generator")
    assert load_bundle("tiny-64", search) is bundle


def test_the_generator_is_the_callers_own_copy(search):
    bundle = load_bundle("tiny-64", search)
    one, two = bundle.generator(), bundle.generator()
    assert all(parameter.requires_grad for parameter in one.parameters())
    with torch.no_grad():
        one.synthesis.b64.conv1.weight.zero_()
    assert two.synthesis.b64.conv1.weight.abs().sum() > 0
    assert bundle.module("generator").synthesis.b64.conv1.weight.abs().sum() > 0


def test_infer_equals_the_module(search):
    bundle = load_bundle("tiny-64", search)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    values = bundle.infer("attributes", images)
    assert values.shape == (2, 2)
    torch.testing.assert_close(values, bundle.module("attributes")(images))


SHAPES = {
    "e4e": ((64, 64), (2, 10, 16)),
    "parsing": ((64, 64), (2, 1, 64, 64)),
    "identity": ((112, 112), (2, 16)),
    "landmarks": ((48, 48), (2, 68, 2)),
    "detector": ((48, 64), (2, 5, 12, 16)),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_every_network_takes_images(search, kind):
    side, shape = SHAPES[kind]
    assert load_bundle("tiny-64", search).infer(kind, torch.zeros(2, 3, *side)).shape == shape


def test_the_perceptual_distance_takes_two_images(search):
    bundle = load_bundle("tiny-64", search)
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    assert (bundle.infer("perceptual", image, image) == 0).all()
    assert (bundle.infer("perceptual", image, -image) > 0).all()


def test_parsing_takes_plain_images_and_normalizes_them_once(search):
    bundle = load_bundle("tiny-64", search)
    image, module = torch.rand(1, 3, 64, 64) * 2 - 1, bundle.module("parsing")
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    (logits,) = module.logits((image / 2 + 0.5 - mean) / std)
    torch.testing.assert_close(module(image), logits)
    assert torch.equal(bundle.infer("parsing", image), logits.argmax(1, keepdim=True).float())


def test_gradients_reach_the_input_of_a_frozen_module(search):
    images = torch.zeros(1, 3, 64, 64, requires_grad=True)
    load_bundle("tiny-64", search).module("attributes")(images).sum().backward()
    assert images.grad.abs().sum() > 0


def test_average_and_directions_have_the_shape_of_codes(search):
    bundle = load_bundle("tiny-64", search)
    shape = (bundle.num_ws, bundle.w_dim)
    assert bundle.latent_avg.shape == shape
    assert bundle.latent_avg.abs().sum() > 0
    assert {name: direction.shape for name, direction in bundle.directions.items()} == {
        "smile": shape,
        "age": shape,
    }


def test_edits_are_checked_by_name_and_range(search):
    bundle = load_bundle("tiny-64", search)
    bundle.check_edits([("smile", 3.0), ("age", -2.0)])
    with pytest.raises(UnknownEdit, match="no edit 'wings'; it has: age, smile") as error:
        bundle.check_edits([("smile", 1.0), ("wings", 1.0)])
    assert error.value.field == "edits[1].name"
    for strength in (3.1, float("nan"), float("inf")):
        with pytest.raises(UnknownEdit, match="from -3 to 3") as error:
            bundle.check_edits([("smile", strength)])
        assert error.value.field == "edits[0].strength"


@pytest.mark.parametrize("name", ["nobody", "../tiny-64", "/etc", "tiny-64/"])
def test_an_unknown_bundle_names_those_installed(search, name):
    with pytest.raises(NotFound, match="installed: tiny-64"):
        load_bundle(name, search)


def test_altered_bytes_are_refused(own):
    path = own / "attributes.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestMismatch, match=r"attributes\.safetensors"):
        load_bundle("tiny-64", own.parent).module("attributes")


def test_a_missing_file_is_named(own):
    (own / "generator.safetensors").unlink()
    with pytest.raises(NotFound, match=r"generator\.safetensors"):
        load_bundle("tiny-64", own.parent).generator()


def _rewrite(own, change):
    """Change the attribute network's tensors and make the manifest fit the new bytes."""
    import hashlib

    path, manifest = own / "attributes.safetensors", own / "bundle.toml"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace(before, after))
    return load_bundle("tiny-64", own.parent)


def test_not_a_number_is_named_with_its_tensor(own):
    bundle = _rewrite(own, lambda tensors: tensors["hidden.weight"].fill_(float("nan")))
    with pytest.raises(InvalidInput, match=r"attributes\.safetensors: tensor hidden\.weight holds NaN"):
        bundle.module("attributes")


def test_a_wrong_shape_is_named_with_its_tensor(own):
    bundle = _rewrite(own, lambda tensors: tensors.update({"values.bias": torch.zeros(3)}))
    with pytest.raises(InvalidInput, match=r"tensor values\.bias has shape \(3,\), its config asks for \(2,\)"):
        bundle.module("attributes")


def test_a_missing_and_an_unknown_tensor_are_named(own):
    bundle = _rewrite(own, lambda tensors: tensors.update({"spare": tensors.pop("values.bias")}))
    with pytest.raises(InvalidInput, match=r"tensor values\.bias is missing"):
        bundle.module("attributes")


def test_a_config_that_the_network_refuses_is_named(own):
    manifest = own / "bundle.toml"
    manifest.write_text(manifest.read_text().replace("width = 4", "breadth = 4"))
    with pytest.raises(InvalidInput, match=r"networks\.attributes\.config.*breadth"):
        load_bundle("tiny-64", own.parent).module("attributes")


def test_replacing_a_network_changes_the_digest_and_keeps_the_rest(own):
    before = load_bundle("tiny-64", own.parent)
    module = before.module("attributes")
    torch.nn.init.zeros_(module.values.weight)
    config = {"names": ["smile", "age"], "input_size": 64, "width": 4}
    put_network(own, "attributes", NetworkSource(module=module, config=config, licence="CC0-1.0", source="test"))
    after = load_bundle("tiny-64", own.parent)
    assert after.digest != before.digest
    assert after.edits == before.edits
    assert after.module("attributes").values.weight.abs().sum() == 0


def test_defaults_are_kept_by_stage(own):
    put_defaults(own, "invert", {"max_passes": 7, "learning_rate": 3e-4})
    defaults = load_bundle("tiny-64", own.parent).defaults
    assert defaults["invert"] == {"max_passes": 7, "learning_rate": 3e-4}
    assert defaults["stitch"]["max_steps"] == 4


def test_a_name_that_is_too_long_for_a_file_is_not_looked_for(tmp_path):
    with pytest.raises(NotFound, match="no bundle"):
        load_bundle("a" * 5000, tmp_path)
