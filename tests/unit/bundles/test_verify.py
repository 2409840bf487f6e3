"""What is found wrong with an installed bundle, and that all of it is found."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from seamline.bundles import EditSpec, NetworkSource, put_directions, put_network, write_bundle
from seamline.bundles.fetch import digest_of
from seamline.bundles.manifest import read_manifest
from seamline.bundles.verify import remedy, verify
from seamline.networks.registry import build
from tests.fakes.bundle import CONFIGS

NAME = "three-64"


@pytest.fixture
def bundle(tmp_path):
    directory = tmp_path / NAME
    write_bundle(directory, name=NAME, resolution=64)
    for kind in ("generator", "parsing"):
        network = NetworkSource(module=build(kind, CONFIGS[kind]), config=CONFIGS[kind], licence="-", source="-")
        put_network(directory, kind, network)
    edit = EditSpec(name="smile", description="-", min_strength=-1, max_strength=1, attribute="smile")
    put_directions(directory, {"smile": torch.randn(10, 16)}, [edit])
    return directory


def rewritten(bundle, kind, change):
    """Change a file's tensors, and have the manifest name the new bytes."""
    path, manifest = bundle / f"{kind}.safetensors", bundle / "bundle.toml"
    before = digest_of(path)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    after = digest_of(path)
    text = manifest.read_text().replace(before.sha256, after.sha256)
    manifest.write_text(text.replace(f"size = {before.size}", f"size = {after.size}"))


def _spoil(tensors):
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = float("nan")


def test_a_bundle_without_fault_has_none_and_everything_is_looked_at(bundle):
    seen: list[str] = []
    assert verify(bundle, seen.append) == {}
    assert seen == ["generator", "parsing", "directions"]


def test_every_damaged_file_is_named_with_its_reason(bundle):
    (bundle / "generator.safetensors").unlink()
    parsing = bundle / "parsing.safetensors"
    parsing.write_bytes(parsing.read_bytes()[:-1])
    faults = verify(bundle)
    assert set(faults) == {"generator", "parsing"}
    assert "generator.safetensors: is missing" in faults["generator"]
    assert "bytes, the manifest says" in faults["parsing"]


def test_altered_bytes_wrong_shapes_and_numbers_that_are_none_are_found(bundle):
    path = bundle / "parsing.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "sha256 is" in verify(bundle)["parsing"]
    path.write_bytes(content)
    rewritten(bundle, "parsing", _spoil)
    assert "holds NaN" in verify(bundle)["parsing"]
    rewritten(bundle, "directions", lambda tensors: tensors.update(smile=torch.zeros(3, 16)))
    assert "has shape (3, 16), the generator needs (10, 16)" in verify(bundle)["directions"]


def test_the_remedy_depends_on_where_the_bundle_came_from(bundle):
    manifest, _ = read_manifest(bundle)
    assert "install the bundle again" in remedy(manifest)
