"""The style and restyle stages: what they write, what they share, and how they go on after they were stopped."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from seamline_inverter import checkpoint
from seamline_inverter.inversion import invert
from seamline_inverter.options import InversionConfig, Method
from seamline_inverter.pivotal_tuning import TuningConfig
from seamline_inverter.restyle import Restyled, restyle
from seamline_inverter.style import learn
from seamline_inverter.style_adaptation import StyleAdaptation, StyleConfig

from seamline.bundles import Bundle
from seamline.editing.style import Style
from seamline.errors import Cancelled, Precondition
from seamline.inversion import Inversion
from seamline.job import Job
from seamline.storage import Store, open_store
from seamline.v1.media_pb2 import ArtifactRef, Progress
from tests.fakes.alignment import VIDEO, put_alignment
from tests.fakes.bundle import tiny_bundle

CONFIG = StyleConfig(max_steps=4, batch_size=1, look_steps=2, least_gain=-1.0)
OLD = Style(neutral="face", target="old face")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def inverted(store: Store, bundle: Bundle, method: Method = Method.PTI) -> ArtifactRef:
    config = InversionConfig(method=method, tuning=TuningConfig(max_passes=1, learning_rate=3e-3, batch_size=5))
    return invert(store, bundle, put_alignment(store, bundle), config, Job("invert")).ref


def run(store: Store, bundle: Bundle, inversion: ArtifactRef, style: Style = OLD, job: Job | None = None) -> Restyled:
    return restyle(store, bundle, inversion, style, CONFIG, job or Job("restyle"))


def weights(store: Store, bundle: Bundle, inversion: ArtifactRef) -> dict[str, torch.Tensor]:
    return dict(Inversion.open(store, inversion).tune(bundle.generator(), 0).synthesis.state_dict())


@pytest.mark.parametrize("method", [Method.PTI, Method.ENCODER])
def test_pivots_stay_and_the_change_is_added_to_the_tracks_own_weights(
    store: Store, bundle: Bundle, method: Method
) -> None:
    inversion = inverted(store, bundle, method)
    styled = run(store, bundle, inversion, replace(OLD, strength=0.5))
    before, after = Inversion.open(store, inversion), Inversion.open(store, styled.ref)
    assert torch.equal(before.pivots(0)[1], after.pivots(0)[1])
    assert (after.alignment_sha256, after.tracks) == (before.alignment_sha256, before.tracks)
    assert (after.video, before.video) == (VIDEO, VIDEO)
    assert "/artifacts/shared/style/" in styled.learned.ref.uri
    assert (before.styles, after.styles) == ((), (replace(OLD, strength=0.5),))
    own, new = weights(store, bundle, inversion), weights(store, bundle, styled.ref)
    assert styled.learned.change
    for name, weight in own.items():
        expected = weight + 0.5 * styled.learned.change.get(name, torch.zeros(()))
        torch.testing.assert_close(new[name], expected, rtol=1e-3, atol=1e-4)  # kept in float16


def test_a_style_is_learned_once_for_every_video_and_strength(store: Store, bundle: Bundle) -> None:
    tuned, plain = inverted(store, bundle), inverted(store, bundle, Method.ENCODER)
    first = run(store, bundle, tuned)
    for inversion, style in ((tuned, replace(OLD, strength=2.0)), (plain, OLD)):
        job = Job("restyle")
        other = run(store, bundle, inversion, style, job)
        assert "learn" not in job.seconds
        assert other.learned.ref == first.learned.ref
        assert other.ref != first.ref
    again = Job("restyle")
    assert run(store, bundle, tuned, job=again).ref == first.ref
    assert again.seconds == {}


def test_styles_add_up(store: Store, bundle: Bundle) -> None:
    once = run(store, bundle, inverted(store, bundle))
    hat = Style(neutral="face", target="face with a hat")
    twice = Inversion.open(store, run(store, bundle, once.ref, hat).ref)
    assert twice.styles == (OLD, hat)


def test_a_cancelled_call_goes_on_and_ends_the_same(
    store: Store, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("seamline.job.MIN_PROGRESS_INTERVAL", 0.0)
    steps: list[int] = []
    update = StyleAdaptation.update

    def counted(self: StyleAdaptation) -> float:
        steps.append(self.steps)
        return update(self)

    monkeypatch.setattr(StyleAdaptation, "update", counted)
    gone = threading.Event()

    def leave(progress: Progress) -> None:
        if progress.step == "learn" and progress.done == 3:
            gone.set()

    with pytest.raises(Cancelled):
        learn(store, bundle, OLD, CONFIG, Job("restyle", on_progress=leave, cancelled=gone))
    assert steps == [0, 1, 2]  # within one step
    resumed = learn(store, bundle, OLD, CONFIG, Job("restyle"))
    assert steps[3:] == [2, 3]  # what was left, and the step that no checkpoint had
    straight = learn(open_store(f"file://{tmp_path}/straight"), bundle, OLD, CONFIG, Job("restyle"))
    assert resumed.ref.sha256 == straight.ref.sha256


def test_refuses_an_inversion_of_another_bundle(store: Store, bundle: Bundle, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path, seed=7)
    with pytest.raises(Precondition, match="another bundle") as caught:
        run(store, other, inverted(store, bundle, Method.ENCODER))
    assert caught.value.field == "inversion"
