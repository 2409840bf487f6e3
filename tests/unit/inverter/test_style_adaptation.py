"""A generator learns a style: where its pictures go, what of it changes, and when it ends."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from seamline_inverter.style_adaptation import (
    CHOICE_SEED,
    LEAST_MOVE,
    StyleAdaptation,
    StyleConfig,
    direction_loss,
    judged_layers,
)

from seamline.bundles import Bundle
from seamline.editing.fit import random_codes
from seamline.editing.styleclip import clip_of, text_direction, text_embedding
from seamline.errors import InvalidInput
from tests.fakes.bundle import tiny_bundle

CONFIG = StyleConfig(max_steps=12, learning_rate=5e-3, batch_size=2, choice_steps=2, look_steps=4, least_gain=-1.0)
TEXTS = ("face", "old face with glasses")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


def adaptation(bundle: Bundle, **changes: float) -> StyleAdaptation:
    return StyleAdaptation(bundle, *TEXTS, replace(CONFIG, **changes), "float32")


def run(adapted: StyleAdaptation, steps: int) -> list[float]:
    return [adapted.update() for _ in range(steps)]


class TestLoss:
    def test_is_one_minus_the_cosine(self) -> None:
        rng = torch.Generator().manual_seed(0)
        new, old = (F.normalize(torch.randn(5, 8, generator=rng), dim=1) for _ in range(2))
        wanted = F.normalize(torch.randn(8, generator=rng), dim=0)
        for loss, there, here in zip(direction_loss(new, old, wanted).tolist(), new, old, strict=True):
            moved = [float(a - b) for a, b in zip(there, here, strict=True)]
            length = math.sqrt(sum(value**2 for value in moved))
            cosine = sum(a * float(b) for a, b in zip(moved, wanted, strict=True)) / length
            assert loss == pytest.approx(1 - cosine, abs=1e-5)

    def test_has_a_gradient_of_use_where_nothing_moved_yet(self) -> None:
        here = F.normalize(torch.ones(1, 4), dim=1)
        there, wanted = here.clone().requires_grad_(), F.normalize(torch.arange(4.0), dim=0)
        loss = direction_loss(there, here, wanted)
        loss.sum().backward()
        assert loss.item() == 1
        torch.testing.assert_close(there.grad, -wanted[None] / LEAST_MOVE)


def test_pictures_go_where_the_texts_go(bundle: Bundle) -> None:
    adapted = adaptation(bundle)
    run(adapted, 12)
    codes = random_codes(bundle, 8, 4242)[:, None].expand(-1, bundle.num_ws, -1)
    clip = clip_of(bundle)
    with torch.no_grad():
        new, old = (clip.encode_images(g.synthesis(codes)) for g in (adapted.generator, bundle.generator()))
    toward = (new - old) @ text_direction(bundle, *TEXTS)
    assert (toward > 0).float().mean() > 0.7  # of faces that it did not learn from
    assert adapted.looks[-1] < adapted.looks[0] < 1
    assert adapted.loss == adapted.looks[-1]


def test_mapping_and_to_rgb_stay_as_they_are(bundle: Bundle) -> None:
    adapted, original = adaptation(bundle), dict(bundle.generator().named_parameters())
    run(adapted, 4)
    changed = {name for name, tuned in adapted.generator.named_parameters() if not torch.equal(tuned, original[name])}
    assert changed == {f"synthesis.{name}" for name in adapted.change}
    assert changed
    assert not any("torgb" in name or name.startswith("mapping") or name.endswith("const") for name in changed)
    tuned = adapted.generator.state_dict()
    for name, change in adapted.change.items():
        torch.testing.assert_close(original[f"synthesis.{name}"] + change, tuned[f"synthesis.{name}"])


def test_only_the_layers_of_most_effect_are_opened(bundle: Bundle) -> None:
    adapted = adaptation(bundle, layers=2)
    run(adapted, 1)
    layers = judged_layers(adapted.generator, seen=32)
    chosen = [number for number, layer in enumerate(layers) if layer.weight.requires_grad]
    assert len(chosen) == 2
    clip = clip_of(bundle)
    goal = text_embedding(bundle, TEXTS[1])
    start = random_codes(bundle, CONFIG.batch_size, CHOICE_SEED)[:, None].expand(-1, bundle.num_ws, -1).clone()
    codes = start.clone().requires_grad_()
    descent = torch.optim.SGD([codes], lr=0.01)
    (1 - clip.encode_images(bundle.generator().synthesis(codes)) @ goal).sum().backward()
    descent.step()
    moved = (codes.detach() - start).abs().mean((0, 2))[: len(layers)]
    assert set(chosen) == set(moved.topk(2).indices.tolist())


def test_what_clip_cannot_see_stays_as_it_is(bundle: Bundle) -> None:
    generator, sides = bundle.generator(), [4, 8, 8, 16, 16, 32, 32, 64, 64]
    for seen, finest in ((16, 16), (28, 32), (32, 32), (224, 64)):
        layers = judged_layers(generator, seen)
        assert [layer.noise_const.shape[0] for layer in layers] == [side for side in sides if side <= finest]
    adapted = adaptation(bundle, layers=9)  # its CLIP sees 32 px
    run(adapted, 1)
    assert {name.split(".")[0] for name in adapted.change} == {"b4", "b8", "b16", "b32"}


def test_what_was_stopped_goes_on_bit_for_bit(bundle: Bundle) -> None:
    straight, first, second = (adaptation(bundle) for _ in range(3))
    expected = run(straight, 9)
    assert run(first, 5) == expected[:5]  # between two choices of the layers
    second.restore(first.state())
    assert run(second, 4) == expected[5:]
    assert second.looks == straight.looks
    for name, change in straight.change.items():
        assert torch.equal(second.change[name], change), name


def test_learning_ends_when_it_brings_no_more(bundle: Bundle) -> None:
    adapted = adaptation(bundle, least_gain=0.9)
    while not adapted.finished:
        adapted.update()
    assert adapted.steps == 2 * CONFIG.look_steps
    patient = adaptation(bundle, max_steps=3)
    run(patient, 3)
    assert patient.finished
    assert 0 < patient.loss < 2  # looked at for the first time


def test_says_that_the_learning_diverged(bundle: Bundle) -> None:
    adapted = adaptation(bundle, learning_rate=0.1)
    with torch.no_grad():
        next(iter(adapted.generator.synthesis.parameters())).fill_(float("nan"))
    with pytest.raises(InvalidInput, match=r"diverged at a learning rate of 0\.1"):
        run(adapted, 2)


@pytest.mark.parametrize(("name", "value"), [("max_steps", 0), ("learning_rate", -1.0), ("layers", 0)])
def test_refuses_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        StyleConfig(**{name: value})  # pyright: ignore[reportArgumentType]
    assert caught.value.field == f"options.{name}"
