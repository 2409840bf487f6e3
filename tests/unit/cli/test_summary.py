import io
import json

import pytest
from rich.console import Console

from seamline.cli.arguments import NamedEdits
from seamline.cli.choices import Blending, Choices, Inversion
from seamline.cli.progress import StageBars
from seamline.cli.summary import figures_table, summarize
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.inverter_pb2 import InvertResult, RestyleResult
from seamline.v1.media_pb2 import Edit, EditMethod, Keyframe, Progress, TextEdit, TextStyle, VideoInfo
from seamline.v1.metrics_pb2 import EditEffect, ScoreResult, SeamError

RESULT = EditVideoResult(
    bundle="avatar-256",
    video=VideoInfo(width=640, height=360, frame_count=50, fps=25.0, duration_seconds=2.0, has_audio=True),
    inversion_figures=InvertResult(psnr_db=31.0, pivot_psnr_db=22.0),
    scores=ScoreResult(
        tl_id=0.995,
        tg_id=0.93,
        identity_similarity=0.85,
        seam_error=SeamError(naive=0.06, stitched=0.01),
        edit_effects=[
            EditEffect(name="age", mean=-0.5, share_of_frames=0.1),
            EditEffect(name="smile", mean=1.7, share_of_frames=1.0),
        ],
    ),
    stage_seconds={"align": 10.0, "invert": 20.0, "stitch": 15.0, "score": 3.0, "mux": 2.0},
    step_seconds={"stitch.tune": 14.5},
)
SCORES = {"frames": list(range(40)), "geometry": {}}
SMILE = Edit(name="smile", strength=2.0)
AGE = Edit(name="age", strength=-1.0)
GLASSES = Edit(text=TextEdit(neutral="face", target="face with glasses"), strength=4.0)


def _figures(*edits, style=None, **choices):
    return summarize(RESULT, SCORES, NamedEdits(name="", edits=edits, style=style), Choices(**choices))


def test_figures_are_those_of_the_result():
    figures = _figures(SMILE, AGE)
    assert figures["frames"] == 50
    assert figures["edited_frames"] == 40
    assert figures["inversion_psnr_db"] == 31.0
    assert figures["seam_error"] == {"naive": 0.06, "stitched": 0.01}
    assert figures["edit_effect"] == 1.7  # of the edit asked for first, whatever the order of the answer
    assert figures["edit_effects"] == {"age": -0.5, "smile": 1.7}
    assert figures["seconds_per_frame"] == pytest.approx(1.0)
    assert figures["edits"] == {"smile": 2.0, "age": -1.0}
    json.dumps(figures, allow_nan=False)


def test_an_effect_that_the_bundle_cannot_measure_is_null():
    assert _figures(Edit(name="hat", strength=1.0))["edit_effect"] is None


def test_a_strength_over_time_is_given_by_its_keyframes():
    rising = Edit(name="smile", keyframes=[Keyframe(strength=0), Keyframe(seconds=1.5, strength=3)])
    figures = _figures(rising, AGE)
    assert figures["edits"] == {"smile": [[0.0, 0.0], [1.5, 3.0]], "age": -1.0}
    json.dumps(figures, allow_nan=False)


def test_a_text_has_no_effect_figure_of_its_own():
    figures = _figures(GLASSES, SMILE)
    assert figures["edits"] == {"face → face with glasses": 4.0, "smile": 2.0}
    assert figures["edit_effect"] is None
    assert figures["edit_effects"]["smile"] == 1.7


def test_a_style_is_named_with_what_learning_it_took():
    assert _figures(SMILE)["style"] is None
    result = EditVideoResult()
    result.CopyFrom(RESULT)
    result.restyle_figures.CopyFrom(RestyleResult(steps=80, loss=0.5))
    result.stage_seconds["restyle"] = 90.0
    variant = NamedEdits(name="", edits=(), style=TextStyle(neutral="face", target="old man"))
    figures = summarize(result, SCORES, variant, Choices())
    assert figures["style"] == {"neutral": "face", "target": "old man", "strength": 1.0, "steps": 80, "loss": 0.5}
    assert list(figures["stage_seconds"]) == ["align", "invert", "restyle", "stitch", "score", "mux"]
    text = io.StringIO()
    Console(file=text, width=120).print(figures_table(figures))
    assert "face → old man, 1 of it" in text.getvalue()
    json.dumps(figures, allow_nan=False)


def test_how_it_was_made_is_told():
    transformed = Edit(name="age", strength=1.0, method=EditMethod.EDIT_METHOD_LATENT_TRANSFORMER)
    figures = _figures(SMILE, transformed, GLASSES, inversion=Inversion.HYPERSTYLE, blend=Blending.POISSON)
    assert (figures["inversion"], figures["pivots"], figures["blend"]) == ("hyperstyle", "e4e", "poisson")
    assert list(figures["methods"].values()) == ["direction", "latent-transformer", "text"]


def test_the_table_says_what_matters():
    text = io.StringIO()
    Console(file=text, width=120).print(figures_table(_figures(SMILE)))
    for part in ("40 of 50", "0.9950", "31.0 dB by pti", "0.0100 by stitch", "+1.70", "-0.50", "stitch 15.0"):
        assert part in text.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_every_stage_is_shown_once(terminal):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100)
    with StageBars(console) as bars:
        for stage, done in (("align", 1), ("align", 5), ("invert", 1)):
            bars.show(Progress(stage=stage, step="work", done=done, total=5, figures={"psnr_db": 30.0}))
    if terminal:
        assert "align" in text.getvalue()
        assert "invert" in text.getvalue()
    else:
        assert text.getvalue().split("\n") == ["align …", "invert …", ""]
