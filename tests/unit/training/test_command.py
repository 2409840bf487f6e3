import json
import sys

import pytest
import torch

from seamline.bundles import load_bundle
from seamline.networks.attributes import AttributeNetwork, AttributesConfig
from training.command import finish, options
from training.loop import LoopConfig

CONFIG = {"names": ["smile"], "input_size": 32, "width": 4}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    words = ["--data", "d", "--out", str(out), "--bundle", str(tmp_path / "some-bundle"), "--steps", "2"]
    monkeypatch.setattr(sys, "argv", ["x", *words])
    threads = torch.get_num_threads()
    yield options("attributes", "Trains.", LoopConfig(steps=9, learning_rate=0.5))
    torch.set_num_threads(threads)


def test_the_command_line_overrides_how_long_and_keeps_the_rest(asked):
    assert (asked.loop.steps, asked.loop.learning_rate, asked.loop.device) == (2, 0.5, "cpu")


def test_a_finished_network_is_in_the_bundle_with_its_figures_beside(asked, tmp_path):
    network = AttributeNetwork(AttributesConfig(**CONFIG))
    finish(asked, network, CONFIG, {"r2": 0.5})
    bundle = load_bundle("some-bundle", tmp_path)
    torch.testing.assert_close(bundle.module("attributes").values.bias, network.values.bias.detach())
    assert bundle.manifest.networks["attributes"].source == "python -m training.attributes"
    assert json.loads((tmp_path / "out" / "figures.json").read_text()) == {"r2": 0.5}


def test_a_network_that_learns_from_others_needs_a_bundle_and_no_portraits(tmp_path, monkeypatch, capsys):
    words = ["x", "--out", str(tmp_path), "--steps", "2"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        options("latent_transformer", "Trains.", LoopConfig(steps=9), portraits=False)
    assert "--bundle" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "--bundle", "some"])
    threads = torch.get_num_threads()
    assert str(options("latent_transformer", "Trains.", LoopConfig(steps=9), portraits=False).bundle) == "some"
    torch.set_num_threads(threads)
