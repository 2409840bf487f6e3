import pytest
import torch
import torch.nn.functional as F

from seamline.bundles import Relevance, load_bundle, put_relevance
from seamline.bundles.relevance import convolution_channels
from tests.fakes.bundle import tiny_bundle
from training.styleclip import CASES, Case, CaseFigures, Trial, drawn, read, table

OLD = Case(target="old face", attribute="age")


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    plain = tiny_bundle(tmp_path_factory.mktemp("bundles"))
    channels = sum(convolution_channels(plain.generator()))
    rows = F.normalize(torch.randn(channels, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    ones = torch.ones(channels)
    put_relevance(plain.directory, Relevance(embeddings=rows, mean=ones, std=ones, beta=0.2), "tests")
    bundle = load_bundle(plain.name, plain.directory.parent)
    codes = torch.randn(4, bundle.num_ws, bundle.w_dim, generator=torch.Generator().manual_seed(1))
    return Trial(bundle=bundle, codes=codes, beta=0.3, strength=4.0)


def test_figures_are_those_of_the_pictures(trial):
    before = read(trial.bundle, drawn(trial.bundle, trial.codes))
    after = read(trial.bundle, drawn(trial.bundle, trial.codes, trial.direction(OLD), trial.strength))
    found = trial.figures(OLD, before)
    change = after[0] - before[0]  # smile, age
    assert found.moved == pytest.approx(float(change[:, 1].mean()), abs=1e-6)
    assert found.right == pytest.approx(float((change[:, 1] > 0).float().mean()))
    assert (found.leakage, found.leaks_into) == (pytest.approx(float(change[:, 0].mean().abs()), abs=1e-6), "smile")
    assert found.identity == pytest.approx(float((after[1] * before[1]).sum(1).mean()), abs=1e-6)
    assert found.channels == sum(int((step != 0).sum()) for step in trial.direction(OLD))
    opposite = trial.figures(Case(target="old face", attribute="age", sign=-1), before)
    assert opposite.moved == pytest.approx(-found.moved)


def test_the_table_has_a_line_for_every_edit():
    own = CaseFigures(channels=3, right=0.5, moved=-0.25, leakage=0.1, leaks_into="smile", identity=0.9)
    lines = table(dict.fromkeys(CASES, own)).splitlines()
    assert len(lines) == len(CASES) + 2
    assert lines[2] == "| face → face with glasses | glasses | 3 | 50 % | -0.25 | 0.10 smile | 0.90 |"
