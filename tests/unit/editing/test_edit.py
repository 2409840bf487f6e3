"""What a request's edits are allowed to be, and what they do to codes."""

import json
from typing import Any

import pytest
import torch

from seamline.bundles import Bundle
from seamline.editing import styleclip
from seamline.editing.edit import EditedCodes, Method, PlannedEdit, Text, apply, planned
from seamline.errors import InvalidInput, UnknownEdit
from seamline.v1.media_pb2 import EDIT_METHOD_DIRECTION, EDIT_METHOD_LATENT_TRANSFORMER, Edit, Keyframe, TextEdit
from tests.fakes.bundle import tiny_bundle

GLASSES = TextEdit(neutral="face", target="face with glasses")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def codes(bundle: Bundle) -> torch.Tensor:
    return torch.randn(3, bundle.num_ws, bundle.w_dim, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def texts(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes the length of a target text its direction; lists the fields of the texts checked."""
    checked: list[str] = []
    monkeypatch.setattr(styleclip, "check_text", lambda text, bundle, field: checked.append(field))
    monkeypatch.setattr(styleclip, "default_beta", lambda bundle: 0.3)
    monkeypatch.setattr(styleclip, "style_direction", style_direction)
    return checked


def style_direction(bundle: Bundle, text: Text, *, in_deviations: bool) -> list[torch.Tensor]:
    """The length of the target text, in every channel."""
    layers = styles(bundle, bundle.latent_avg[None])
    return [torch.full((layer.shape[1],), float(len(text.target))) for layer in layers]


def styles(bundle: Bundle, codes: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return bundle.generator().styles(codes)


def keyframed(*keyframes: tuple[float, float], name: str = "smile", **rest: Any) -> Edit:
    points = [Keyframe(seconds=seconds, strength=strength) for seconds, strength in keyframes]
    return Edit(name=name, keyframes=points, **rest)


def test_a_plain_edit_is_one_keyframe(bundle: Bundle) -> None:
    (edit,) = planned([Edit(name="smile", strength=-1.5)], bundle)
    assert edit == PlannedEdit(name="smile", method=Method.DIRECTION, keyframes=((0.0, -1.5),))
    assert (edit.label, edit.peak) == ("smile", -1.5)


def test_all_kinds_fit_into_json(bundle: Bundle, texts: list[str]) -> None:
    edits = planned(
        [
            keyframed((0, 1), (2, -3), method=EDIT_METHOD_DIRECTION),
            Edit(name="age", strength=1, method=EDIT_METHOD_LATENT_TRANSFORMER),
            Edit(text=GLASSES, strength=2),
        ],
        bundle,
    )
    assert [edit.method for edit in edits] == [Method.DIRECTION, Method.LATENT_TRANSFORMER, Method.TEXT]
    assert [edit.label for edit in edits] == ["smile", "age", "face → face with glasses"]
    assert [edit.peak for edit in edits] == [-3, 1, 2]
    assert json.loads(json.dumps([edit.parameters() for edit in edits]))[2] == {
        "name": "",
        "text": {"neutral": "face", "target": "face with glasses", "beta": 0.3},
        "method": "text",
        "keyframes": [[0.0, 2.0]],
    }
    assert texts == ["edits[2].text"]


def test_beta_may_be_zero(bundle: Bundle, texts: list[str]) -> None:
    (edit,) = planned([Edit(text=TextEdit(neutral="a", target="b", beta=0), strength=1)], bundle)
    assert edit.text == Text(neutral="a", target="b", beta=0.0)


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (Edit(strength=1), "edits[1].name"),
        (Edit(name="smile", text=GLASSES), "edits[1].name"),
        (Edit(name="age", strength=1), "edits[1].name"),
        (Edit(name="wings", strength=1), "edits[1].name"),
        (Edit(name="smile", strength=9), "edits[1].strength"),
        (Edit(name="smile", strength=float("nan")), "edits[1].strength"),
        (keyframed((0, 1), strength=1), "edits[1].strength"),
        (keyframed((0, 1), (1, 9)), "edits[1].keyframes[1].strength"),
        (keyframed((0, float("inf"))), "edits[1].keyframes[0].strength"),
        (keyframed((0, 1), name="wings"), "edits[1].name"),
        (keyframed((-0.1, 1)), "edits[1].keyframes[0].seconds"),
        (keyframed((0, 1), (float("nan"), 1)), "edits[1].keyframes[1].seconds"),
        (keyframed((0, 1), (2, 1), (1, 1)), "edits[1].keyframes[2].seconds"),
        (keyframed((0, 1), (0, 2)), "edits[1].keyframes[1].seconds"),
        (keyframed(*((second, 1) for second in range(1001))), "edits[1].keyframes"),
        (Edit(name="smile", strength=1, method=9), "edits[1].method"),  # type: ignore[arg-type]
        (Edit(text=GLASSES, strength=1, method=EDIT_METHOD_DIRECTION), "edits[1].method"),
        (Edit(text=GLASSES, strength=10.5), "edits[1].strength"),
    ],
)
def test_refuses_what_cannot_be(bundle: Bundle, texts: list[str], edit: Edit, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        planned([Edit(name="age", strength=1), edit], bundle)
    assert caught.value.field == field


def test_strengths_out_of_range_are_unknown_edits(bundle: Bundle) -> None:
    with pytest.raises(UnknownEdit, match="strengths from -3 to 3"):
        planned([keyframed((0, 4))], bundle)


def test_refuses_two_edits_of_the_same_texts(bundle: Bundle, texts: list[str]) -> None:
    again = TextEdit(neutral="face", target="face with glasses", beta=0.1)
    with pytest.raises(InvalidInput, match="given twice") as caught:
        planned([Edit(text=GLASSES, strength=1), Edit(text=again, strength=2)], bundle)
    assert caught.value.field == "edits[1].text"
    both = [Edit(text=GLASSES, strength=1), Edit(text=TextEdit(neutral="face", target="face with hat"), strength=1)]
    assert len(planned(both, bundle)) == 2


def test_fields_are_named_by_where_the_edits_stand(bundle: Bundle) -> None:
    with pytest.raises(UnknownEdit) as caught:
        planned([Edit(name="wings", strength=1)], bundle, field="variants[4].edits")
    assert caught.value.field == "variants[4].edits[0].name"


def test_directions_follow_the_keyframes_and_add_up(bundle: Bundle, codes: torch.Tensor) -> None:
    edits = planned([keyframed((0, 0), (1, 2)), Edit(name="age", strength=-1)], bundle)
    edited = apply(bundle, edits, codes, [0.0, 0.5, 7.0])
    smile, age = bundle.directions["smile"], bundle.directions["age"]
    expected = torch.stack([step * smile - age for step in (0.0, 1.0, 2.0)])
    torch.testing.assert_close(edited.codes - codes, expected, rtol=1e-4, atol=1e-6)
    assert edited.styles is None


def test_the_latent_transformer_steps_from_the_unedited_face(bundle: Bundle, codes: torch.Tensor) -> None:
    smile, age = Edit(name="smile", strength=2), Edit(name="age", strength=1, method=EDIT_METHOD_LATENT_TRANSFORMER)
    one, other = (
        apply(bundle, planned(order, bundle), codes, [0.0] * 3).codes for order in ([smile, age], [age, smile])
    )
    torch.testing.assert_close(one, other)
    alone = apply(bundle, planned([age], bundle), codes, [0.0] * 3).codes
    assert (alone - codes).abs().max() > 0.01
    torch.testing.assert_close(one, alone + 2 * bundle.directions["smile"], rtol=1e-4, atol=1e-5)


def test_texts_move_styles_as_strong_as_the_moment_asks(bundle: Bundle, codes: torch.Tensor, texts: list[str]) -> None:
    moving = Edit(text=TextEdit(neutral="a", target="bb"), keyframes=keyframed((0, 0), (1, 3)).keyframes)
    edits = planned([moving, Edit(text=TextEdit(neutral="a", target="b"), strength=1)], bundle)
    edited = apply(bundle, edits, codes, [0.0, 0.5, 1.0])
    assert torch.equal(edited.codes, codes)
    with torch.no_grad():
        seen = edited.styles_in(bundle.generator())
    for before, after in zip(styles(bundle, codes), seen, strict=True):
        torch.testing.assert_close(after - before, torch.tensor([[1.0], [4.0], [7.0]]).expand_as(before))


def test_codes_can_be_cut_and_joined(bundle: Bundle, codes: torch.Tensor) -> None:
    offsets = [torch.rand(3, style.shape[1]) for style in styles(bundle, codes)]
    plain, styled = EditedCodes(codes=codes), EditedCodes(codes=codes + 1, styles=offsets)
    joined = EditedCodes.joined([plain, styled])
    assert len(joined) == 6
    assert joined.styles is not None
    assert not joined.styles[0][:3].any()
    part = joined[torch.tensor([4, 0])]
    assert torch.equal(part.codes, torch.stack([codes[1] + 1, codes[0]]))
    assert part.styles is not None
    assert torch.equal(part.styles[2][0], offsets[2][1])
    assert EditedCodes.joined([plain, plain]).styles is None
