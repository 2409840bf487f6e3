import numpy as np
import pytest
import torch

from seamline.networks.stylegan2 import Generator, GeneratorConfig
from tests.fakes.bundle import tiny_bundle
from training.directions import DESCRIPTIONS, EditFigures, fit, specs, strength_range, table
from training.renderer.parameters import ATTRIBUTES, INDEX, NAMES, PARAMETERS


def test_directions_are_what_one_deviation_of_a_parameter_changes():
    torch.manual_seed(0)
    count = len(NAMES)
    generator = Generator(
        GeneratorConfig(
            resolution=8, z_dim=count, w_dim=count + 6, mapping_layers=1, mapping_activation="linear",
            mapping_lr_multiplier=1.0, normalize_z=False, channel_base=64, channel_max=8,
        )
    )  # fmt: skip
    directions = fit(generator, count=600)
    zero, one = torch.zeros(1, count), torch.zeros(1, count)
    one[0, INDEX["smile"]] = 1
    expected = (generator.mapping(one) - generator.mapping(zero))[0, 0]
    torch.testing.assert_close(directions[INDEX["smile"]], expected, atol=1e-3, rtol=1e-3)
    fixed = next(index for index, parameter in enumerate(PARAMETERS) if parameter.fixed is not None)
    assert directions[fixed].abs().max() < 1e-3


def test_every_attribute_is_an_edit_with_a_range_about_zero():
    assert set(DESCRIPTIONS) == set(ATTRIBUTES)
    edits = specs(ATTRIBUTES)
    assert [edit.name for edit in edits] == list(ATTRIBUTES)
    assert all(1 < edit.max_strength <= 4 for edit in edits)
    assert all(edit.min_strength == -edit.max_strength for edit in edits)


def test_a_range_carries_from_end_to_end():
    parameter = PARAMETERS[INDEX["skin_tone"]]
    assert strength_range("skin_tone") == pytest.approx(np.sqrt(12), abs=0.1)
    assert parameter.high - parameter.low == 1


def test_edits_that_the_bundle_cannot_measure_are_left_out(tmp_path):
    names = tiny_bundle(tmp_path).module("attributes").config.names
    assert [edit.name for edit in specs(names)] == ["smile", "age"]


def test_only_edits_that_move_their_attribute_steadily_are_offered():
    def figures(effect, monotone):
        return EditFigures(effect=effect, leakage=0.1, leaks_into="age", monotone=monotone)

    found = {"smile": figures(0.8, 1.0), "pucker": figures(0.02, 1.0), "gaze_x": figures(0.5, 0.4)}
    assert [name for name, own in found.items() if own.works] == ["smile"]
    text = table(found, specs(("smile", "pucker", "gaze_x")))
    assert "| smile |" in text
    assert "Left out, for want of a measurable effect: pucker, gaze_x." in text
