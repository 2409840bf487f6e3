"""What a request's style is, checked: a look that the generator itself learns from two texts (StyleGAN-NADA, Gal et al.
2022, arXiv:2108.00946).
"""

from dataclasses import dataclass
from math import isfinite

from seamline.bundles import Bundle
from seamline.editing.styleclip import check_words, text_direction
from seamline.errors import InvalidInput, Precondition
from seamline.v1.media_pb2 import TextStyle

STRENGTHS = (0.0, 2.0)
"""Least and most of a style."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """A style that was found to be possible."""

    neutral: str
    """What the faces are."""
    target: str
    """What they become."""
    strength: float = 1.0
    """How much of what was learned is applied."""

    @property
    def label(self) -> str:
        """What to call it."""
        return f"{self.neutral} → {self.target}"


def planned_style(style: TextStyle, bundle: Bundle, field: str = "style") -> Style:
    """Checks a request's style.

    Args:
        style: as asked for.
        bundle: whose generator is to learn it.
        field: where it stands in the request.

    Raises:
        InvalidInput: a text is empty, too long, of unknown words, or the same as the other; or the strength is out of
            range.
        Precondition: the bundle has no CLIP.
    """
    if not bundle.has("clip"):
        raise Precondition(
            f"bundle {bundle.name} has no CLIP, by which a style is learned; leave the style out", field=field
        )
    low, high = STRENGTHS
    strength = style.strength if style.HasField("strength") else 1.0
    if not isfinite(strength) or not low <= strength <= high:
        raise InvalidInput(
            f"{field}.strength must be from {low:g} to {high:g}, got {strength:g}", field=f"{field}.strength"
        )
    check_words(bundle, style.neutral, style.target, field)
    try:
        text_direction(bundle, style.neutral, style.target)
    except InvalidInput as error:
        error.field = f"{field}.{error.field}"
        raise
    return Style(neutral=style.neutral, target=style.target, strength=strength)
