"""What each style channel does to what CLIP sees, against drawing every picture from its codes."""

import pytest
import torch
import torch.nn.functional as F

from seamline.bundles import Bundle
from seamline.bundles.relevance import style_layers
from seamline.editing import preparation
from seamline.editing.preparation import ALPHA, Preparation, prepared, sampled_codes
from seamline.errors import Precondition
from seamline.networks.stylegan2 import SynthesisLayer
from tests.fakes.bundle import tiny_bundle

SAMPLES = 2


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few codes, and the same arithmetic in every draw."""
    monkeypatch.setattr(preparation, "STATISTICS", 64)
    monkeypatch.setattr(preparation, "has_fast_bfloat16", lambda device: False)


def asked(tmp_path, **changed) -> Preparation:
    return Preparation(**{"samples": SAMPLES, "beta": 0.2, "partial": tmp_path / "partial"} | changed)


def channels(bundle: Bundle) -> list[tuple[int, int]]:
    """Layer and channel of each row."""
    layers = enumerate(style_layers(bundle.generator()))
    return [(place, own) for place, layer in layers if isinstance(layer, SynthesisLayer) for own in range(layer.inputs)]


def test_rows_are_mean_directions_of_moved_channels(bundle: Bundle, tmp_path, monkeypatch) -> None:
    """Broken off and gone on with."""
    monkeypatch.setattr(preparation, "KEEP_EVERY", 8)

    def broken_off(done: int, total: int) -> None:
        if done == 21:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(bundle, asked(tmp_path), broken_off)
    told: list[tuple[int, int]] = []
    found = prepared(bundle, asked(tmp_path), lambda done, total: told.append((done, total)))
    places, generator = channels(bundle), bundle.generator()
    codes = sampled_codes(generator, 64, 0)
    with torch.no_grad():
        styles = generator.styles(codes)
    spread = torch.cat([style for style, layer in zip(styles, style_layers(generator), strict=True)
                        if isinstance(layer, SynthesisLayer)], 1)  # fmt: skip
    torch.testing.assert_close(found.std, spread.std(0))
    torch.testing.assert_close(found.mean, spread.mean(0))
    for row in range(0, len(places), 23):
        layer, channel = places[row]
        seen = []
        for sign in (-1, 1):
            moved = [style[:SAMPLES].clone() for style in styles]
            moved[layer][:, channel] += sign * ALPHA * found.std[row]
            with torch.no_grad():
                images = generator.synthesis_from_styles(moved).clamp(-1, 1)
            seen.append(bundle.infer("clip", images))
        expected = F.normalize(F.normalize(seen[1] - seen[0], dim=1).mean(0), dim=0)
        torch.testing.assert_close(found.embeddings[row], expected, atol=2e-3, rtol=0)
    assert (told[0], told[-1]) == ((17, len(places)), (len(places), len(places)))
    assert not (tmp_path / "partial").exists()


def test_what_was_measured_of_other_faces_is_not_used(bundle: Bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(preparation, "KEEP_EVERY", 8)

    def broken_off(done: int, total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(bundle, asked(tmp_path), lambda done, total: broken_off(done - 1, total))
    told: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        prepared(bundle, asked(tmp_path, seed=1), lambda done, total: (told.append(done), broken_off(done, total)))
    assert told[0] == 1


def test_a_bundle_without_clip_says_so(tmp_path, bundle: Bundle, monkeypatch) -> None:
    monkeypatch.setattr(bundle, "has", lambda kind: kind != "clip")
    with pytest.raises(Precondition, match="no clip network"):
        prepared(bundle, asked(tmp_path), lambda done, total: None)
