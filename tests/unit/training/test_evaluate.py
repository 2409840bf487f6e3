from pathlib import Path

import pytest
import torch

from seamline.bundles import NetworkSource, load_bundle, write_bundle
from seamline.networks.attributes import AttributeNetwork, AttributesConfig
from seamline.networks.stylegan2 import Generator, GeneratorConfig
from tests.fakes.portraits import write_portraits
from training import attributes
from training.data import Portraits
from training.evaluate import SETS, HeldOut, measure, table
from training.pack import put
from training.renderer.parameters import NAMES


@pytest.fixture
def held_out(tmp_path):
    return HeldOut(**{name: Portraits.all(write_portraits(tmp_path / name, count=48)) for name in SETS})


def bundle(directory: Path):
    config = attributes.CONFIG | {"width": 4}
    network = AttributeNetwork(AttributesConfig(**config))
    source = NetworkSource(module=network, config=config, licence="CC0-1.0", source="test")
    write_bundle(directory, name=directory.name, resolution=64, networks={"attributes": source})
    small = GeneratorConfig(
        resolution=64, z_dim=len(NAMES), w_dim=len(NAMES), mapping_layers=1, channel_base=256, channel_max=8
    )
    torch.save(Generator(small).state_dict(), directory.parent / "generator.pt")
    put(directory, "generator", Generator(small), directory.parent / "generator.pt", small, "generator")
    return load_bundle(directory.name, directory.parent)


def test_every_network_of_the_bundle_is_measured_and_no_other(tmp_path, held_out):
    figures = measure(bundle(tmp_path / "some"), held_out)
    assert set(figures) == {"attributes", "generator"}
    assert figures["attributes"]["r2_mean"] < 0.5
    assert 0 < figures["generator"]["psnr_db"] < 30
    assert figures["generator"]["detail"] > 0
    assert "| generator | psnr_db | " in table(figures)


def test_weights_that_were_packed_are_those_that_were_trained(tmp_path):
    loaded = bundle(tmp_path / "some").module("generator").state_dict()
    trained = torch.load(tmp_path / "generator.pt", weights_only=True)
    for name, tensor in trained.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=1e-3, atol=1e-3)


def test_the_evaluations_seeds_are_not_those_of_training():
    script = (Path(__file__).parents[3] / "training" / "all.sh").read_text()
    seeds = {line.split("--seed ")[1].split()[0] for line in script.splitlines() if "--seed " in line}
    assert seeds
    assert seeds.isdisjoint(str(config.seed) for config in SETS.values())
