import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seamline.editing.fit import Faces
from seamline.editing.measure import HALVES, STEPS, EditFigures, Stimulus
from seamline.editing.reading import PROPORTIONS
from seamline.networks.stylegan2 import Generator, GeneratorConfig
from training.directions import (
    STRONGEST,
    WANTED,
    Candidate,
    Search,
    Wanted,
    best,
    entangled,
    main,
    regress,
    rendered_range,
    spec,
    strength_range,
    table,
)
from training.renderer.parameters import ATTRIBUTES, INDEX, NAMES, PARAMETERS, STDS, standardise

GOOD = EditFigures(
    monotone=1.0, response=(), effect=0.8, strong_effect=1.6, leakage=0.2, leaks_into="age",
    identity=0.9,
)  # fmt: skip


def candidate(procedure: str = "least squares", reach: float = 3.0, **changed) -> Candidate:
    return Candidate(procedure=procedure, direction=torch.zeros(2, 3), reach=reach, figures=replace(GOOD, **changed))


def test_directions_are_what_one_deviation_of_a_parameter_changes():
    torch.manual_seed(0)
    count = len(NAMES)
    generator = Generator(
        GeneratorConfig(
            resolution=8, z_dim=count, w_dim=count + 6, mapping_layers=1, mapping_activation="linear",
            mapping_lr_multiplier=1.0, normalize_z=False, channel_base=64, channel_max=8,
        )
    )  # fmt: skip
    directions = regress(generator, count=600)
    zero, one = torch.zeros(1, count), torch.zeros(1, count)
    one[0, INDEX["smile"]] = 1
    expected = (generator.mapping(one) - generator.mapping(zero))[0, 0]
    torch.testing.assert_close(directions[INDEX["smile"]], expected, atol=1e-3, rtol=1e-3)
    fixed = next(index for index, parameter in enumerate(PARAMETERS) if parameter.fixed is not None)
    assert directions[fixed].abs().max() < 1e-3


def test_every_edit_has_a_parameter_of_the_renderers_and_a_witness_that_can_be_read():
    assert len({wanted.name for wanted in WANTED}) == len(WANTED)
    for wanted in WANTED:
        assert wanted.parameter in NAMES
        assert wanted.witness in (*ATTRIBUTES, *PROPORTIONS)


def test_a_range_carries_from_end_to_end():
    parameter = PARAMETERS[INDEX["glasses"]]
    assert strength_range("glasses") == pytest.approx(2.1)
    assert parameter.high - parameter.low == 1
    assert strength_range("skin_tone") == STRONGEST
    assert strength_range("yaw") == pytest.approx(2.2)  # a pose stops short of it


def test_an_edit_ends_where_the_renderers_faces_do():
    hat, yaw = (next(wanted for wanted in WANTED if wanted.name == name) for name in ("hat", "yaw"))
    (column,) = standardise(np.array([[p.low for p in PARAMETERS]]))[:, INDEX["hat"]]
    assert spec(hat, 1.5, []).ends == pytest.approx((2 * column, 2 * rendered_range("hat")[1]), abs=0.01)
    low, high = rendered_range("yaw")
    assert low == -high
    assert high * STDS[INDEX["yaw"]] == pytest.approx(0.9 * 0.7 * 25)  # degrees
    assert spec(yaw, 2.0, []).ends == pytest.approx((1.5 * low, 1.5 * high), abs=0.01)


def test_only_other_edits_attributes_that_come_along_are_held_still():
    rng = np.random.default_rng(0)
    age = rng.standard_normal(400)
    columns = {
        "age": age,
        "beard": age + rng.standard_normal(400),
        "smile": rng.standard_normal(400),
        "pucker": age,
        "eye_ratio": age,
    }
    values = torch.tensor(np.stack(list(columns.values()), 1), dtype=torch.float32)
    held = entangled(Faces(codes=torch.zeros(400, 2), values=values, names=tuple(columns)), "age")
    assert held.keys() == {"beard"}
    assert torch.equal(held["beard"], values[:, 1])


def test_the_direction_that_carries_further_is_taken_and_else_the_purer_one():
    first = candidate()
    assert best([first, candidate("InterFaceGAN")]) is first
    assert best([first, candidate("InterFaceGAN", leakage=0.17)]) is first
    assert best([first, candidate("InterFaceGAN", leakage=0.1)]) is not first
    assert best([first, candidate("InterFaceGAN", leakage=0.1, reach=2.0)]) is first
    assert best([first, candidate("InterFaceGAN", leakage=0.1, reach=2.9)]) is not first  # a hair less far
    assert best([first, candidate("InterFaceGAN", leakage=0.1, monotone=0.9)]) is first
    assert best([candidate(monotone=0.8), candidate("InterFaceGAN", leakage=0.1, monotone=0.9)]).figures.monotone == 0.9
    assert best([candidate(reach=2.0), candidate("InterFaceGAN", leakage=0.35)]).procedure == "InterFaceGAN"
    assert best([candidate(effect=0.1), candidate("InterFaceGAN", reach=2.0)]).procedure == "InterFaceGAN"


def test_only_edits_that_show_and_carry_are_offered():
    assert candidate().works
    assert not candidate(effect=0.1).works
    assert not candidate(leakage=0.5).works
    text = table({"smile": [candidate()], "age": [candidate(effect=0.1)]})
    assert "| smile | least squares * | 3.0 | 100 % | 0.80 | 20 % | age | 0.90 |" in text
    assert "| age | least squares | 3.0 | 100 % | 0.10" in text


def test_an_edit_is_listed_with_what_reads_it():
    smile = next(wanted for wanted in WANTED if wanted.name == "smile")
    listed = spec(smile, 2.0, ["smile", "age"])
    assert (listed.min_strength, listed.max_strength, listed.attribute) == (-5.0, 5.0, "smile")
    raised = next(wanted for wanted in WANTED if wanted.name == "brow_raise")
    assert spec(raised, 1.5, ["smile"]).attribute == "eye_eyebrow_distance"


@pytest.mark.parametrize(("monotone", "looks"), [(1.0, 1), (0.5, 3)])
def test_a_direction_is_looked_at_closely_only_where_it_must_be_shortened(monkeypatch, monotone, looks):
    asked: list[tuple[float, ...]] = []

    def look(reader: object, codes: object, move: object, face: object = None, strengths: tuple[float, ...] = STEPS):
        asked.append(strengths)
        curve = torch.tensor(strengths)[:, None, None].expand(-1, 4, 1)
        return Stimulus(values=curve, identity=torch.ones(len(strengths), 4, 1))

    search = Search.__new__(Search)
    search.reader = SimpleNamespace(names=("smile",), attributes=1)
    search.codes = search.seen = None
    found = candidate().figures
    monkeypatch.setattr("training.directions.look", look)
    monkeypatch.setattr("training.directions.figures", lambda *_: replace(found, monotone=monotone))
    smile = next(wanted for wanted in WANTED if wanted.name == "smile")
    one = search.measured(smile, "least squares", torch.ones(2, 3))
    assert len(asked) == looks
    assert set(asked) <= {STEPS, HALVES}
    assert one.reach == strength_range("smile")
    assert torch.allclose(one.direction, torch.full((2, 3), one.reach / STRONGEST))


def test_what_is_best_and_works_goes_into_the_bundle(tmp_path, monkeypatch, capsys):
    found = {
        "smile": [candidate(), candidate("InterFaceGAN", leakage=0.1)],
        "age": [candidate(effect=0.1)],
        "eye_distance": [candidate(reach=1.4)],
    }

    class Searched:
        def __init__(self, bundle: object, faces: object) -> None:
            self.reader = SimpleNamespace(names=("smile", "age", "eye_distance"), attributes=2)

        def candidates(self, wanted: Wanted) -> list[Candidate]:
            return found[wanted.name]

    put: list[tuple[dict, list]] = []
    for name, stand_in in {
        "single_core": lambda: None,
        "load_bundle": lambda name: name,
        "draw": lambda bundle, samples, seed: samples,
        "Search": Searched,
        "put_directions": lambda directory, directions, edits: put.append((directions, edits)),
    }.items():
        monkeypatch.setattr(f"training.directions.{name}", stand_in)
    monkeypatch.setattr("sys.argv", ["directions", "--out", str(tmp_path)])
    main()
    ((directions, edits),) = put
    assert [edit.name for edit in edits] == list(directions) == ["smile", "eye_distance"]
    assert directions["smile"] is found["smile"][1].direction
    assert json.loads((tmp_path / "figures.json").read_text())["age"]["least squares"]["effect"] == 0.1
    assert "| smile | InterFaceGAN *" in capsys.readouterr().out
