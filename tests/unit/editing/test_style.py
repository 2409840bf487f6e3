"""What a style may be."""

import pytest

from seamline.bundles import Bundle
from seamline.editing.style import Style, planned_style
from seamline.errors import InvalidInput, Precondition
from seamline.v1.media_pb2 import TextStyle
from tests.fakes.bundle import tiny_bundle
from tests.fakes.lesser_bundle import bundle_without


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


def test_a_style_needs_no_preparation_of_the_bundle(bundle: Bundle) -> None:
    style = planned_style(TextStyle(neutral="face", target="old face"), bundle)
    assert style == Style(neutral="face", target="old face", strength=1.0)
    assert style.label == "face → old face"
    assert planned_style(TextStyle(neutral="face", target="old face", strength=0), bundle).strength == 0


@pytest.mark.parametrize(
    ("style", "field", "text"),
    [
        (TextStyle(neutral="", target="old face"), "neutral", "empty"),
        (TextStyle(neutral="face", target="face with a mohawk"), "target", "never met 'mohawk'"),
        (TextStyle(neutral="face", target="Face"), "target", "mean the same"),
        (TextStyle(neutral="face", target="old face", strength=2.1), "strength", "from 0 to 2, got 2.1"),
        (TextStyle(neutral="face", target="old face", strength=-1), "strength", "from 0 to 2"),
        (TextStyle(neutral="face", target="old face", strength=float("nan")), "strength", "from 0 to 2"),
    ],
)
def test_what_is_not_possible_is_named(bundle: Bundle, style: TextStyle, field: str, text: str) -> None:
    with pytest.raises(InvalidInput, match=text) as caught:
        planned_style(style, bundle)
    assert caught.value.field == f"style.{field}"


def test_a_bundle_without_clip_learns_no_style(tmp_path) -> None:
    with pytest.raises(Precondition, match="tiny-64 has no CLIP"):
        planned_style(TextStyle(neutral="face", target="old face"), bundle_without("clip", tmp_path))
