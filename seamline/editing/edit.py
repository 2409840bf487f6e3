"""What a request's edits are, checked, and what they do to the codes of a face."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from seamline.algorithm import Algorithm
from seamline.bundles import Bundle
from seamline.editing import direction, latent_transformer
from seamline.editing.keyframes import strength_at
from seamline.errors import InvalidInput, UnknownEdit
from seamline.networks import Generator
from seamline.v1 import media_pb2

MAX_EDITS = 32
"""That are applied together."""
MAX_KEYFRAMES = 1000
MAX_TEXT_STRENGTH = 10.0
"""Strongest a text edit may be, either way."""


class Method(StrEnum):
    """How an edit moves a face."""

    DIRECTION = "direction"
    """A step along the bundle's direction, up to its end."""
    LATENT_TRANSFORMER = "latent_transformer"
    """The bundle's latent transformer (Yao et al. 2021, arXiv:2106.11895)."""
    TEXT = "text"
    """A global direction of StyleCLIP (Patashnik et al. 2021, arXiv:2103.17249)."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """The two texts that give a direction, and which style channels take part in it."""

    neutral: str
    target: str
    beta: float = 0.2
    """Channels whose relevance is below this stay as they are, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class PlannedEdit:
    """One edit that was found to be possible."""

    name: str = ""
    """One of the bundle's edits; empty where `text` is set."""
    text: Text | None = None
    method: Method = Method.DIRECTION
    keyframes: tuple[tuple[float, float], ...]
    """(seconds, strength), ascending; a single one at 0 s for a strength that does not change."""

    @property
    def label(self) -> str:
        """What to call it: its name, or its texts."""
        return f"{self.text.neutral} → {self.text.target}" if self.text else self.name

    @property
    def peak(self) -> float:
        """The strength that is farthest from 0."""
        return max((strength for _, strength in self.keyframes), key=abs)

    def parameters(self) -> dict[str, Any]:
        """All of it as JSON values."""
        keyframes = [list(keyframe) for keyframe in self.keyframes]
        return asdict(self) | {"method": self.method.value, "keyframes": keyframes}


@dataclass(frozen=True, kw_only=True)
class EditedCodes:
    """N faces as the edits want them."""

    codes: Tensor
    """(N, L, w_dim)."""
    styles: list[Tensor] | None = None
    """What to add to the styles of every layer, (N, channels) each; None for nothing."""

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, frames: slice | Tensor) -> "EditedCodes":
        return EditedCodes(codes=self.codes[frames], styles=self.styles and [style[frames] for style in self.styles])

    @classmethod
    def joined(cls, parts: Sequence["EditedCodes"]) -> "EditedCodes":
        """All of them, one after the other."""
        codes = torch.cat([part.codes for part in parts])
        known = next((part.styles for part in parts if part.styles is not None), None)
        if known is None:
            return cls(codes=codes)
        rows = [part.styles or [layer.new_zeros(len(part), layer.shape[1]) for layer in known] for part in parts]
        return cls(codes=codes, styles=[torch.cat(layers) for layers in zip(*rows, strict=True)])

    def styles_in(self, generator: Generator) -> list[Tensor]:
        """The edited faces in a generator's S-space, as `Generator.synthesis_from_styles` takes them."""
        styles = generator.styles(self.codes)
        if self.styles is None:
            return styles
        return [style + offset for style, offset in zip(styles, self.styles, strict=True)]


def planned(edits: Sequence[media_pb2.Edit], bundle: Bundle, field: str = "edits") -> tuple[PlannedEdit, ...]:
    """Checks a request's edits.

    Args:
        edits: those that are applied together.
        bundle: what they are applied with.
        field: where they stand in the request.

    Raises:
        InvalidInput: there are too many; or an edit has neither name nor text, or both, or contradicts itself, or comes
            twice, or its keyframes are wrong.
        UnknownEdit: the bundle has no such edit, or not that strong.
        Precondition: the bundle has no network for it.
    """
    if len(edits) > MAX_EDITS:
        raise InvalidInput(f"{field} has {len(edits)} edits, of {MAX_EDITS} at most", field=field)
    plans: list[PlannedEdit] = []
    for index, edit in enumerate(edits):
        at = f"{field}[{index}]"
        plan = _planned(edit, bundle, at)
        if any(_same(plan, other) for other in plans):
            what = "text" if plan.text else "name"
            raise InvalidInput(f"edit {plan.label!r} is given twice; add the strengths up", field=f"{at}.{what}")
        plans.append(plan)
    return tuple(plans)


def apply(
    bundle: Bundle,
    edits: Sequence[PlannedEdit],
    codes: Tensor,
    seconds: ArrayLike,
    algorithm: Algorithm = Algorithm.DEFAULT,
) -> EditedCodes:
    """Moves faces. Every edit starts from the codes as they are, so that the order of the edits does not matter.

    Args:
        bundle: whose codes these are.
        edits: as `planned` returns them.
        codes: (N, L, w_dim).
        seconds: (N,) when each face is shown, which says how strong the edits are.
        algorithm: STIT's takes the whole step along a direction, wherever the face is, and measures what texts do to
            styles in other units; see `styleclip.style_direction`.
    """
    moved, offsets = codes, None
    for edit in edits:
        strength = torch.from_numpy(strength_at(edit.keyframes, seconds)).to(codes)
        if edit.text is not None:
            offsets = _sum(offsets, _text_offsets(bundle, edit.text, strength, algorithm))
        else:
            moved = moved + _step(bundle, edit, codes, strength, algorithm)
    return EditedCodes(codes=moved, styles=offsets)


def _step(bundle: Bundle, edit: PlannedEdit, codes: Tensor, strength: Tensor, algorithm: Algorithm) -> Tensor:
    """What a named edit adds to the codes: (N, L, w_dim)."""
    if edit.method is Method.LATENT_TRANSFORMER:
        return latent_transformer.moved(bundle, edit.name, codes, strength) - codes
    return direction.moved(bundle, edit.name, codes, strength, bounded=algorithm is not Algorithm.STIT) - codes


def _text_offsets(bundle: Bundle, text: Text, strength: Tensor, algorithm: Algorithm) -> list[Tensor]:
    """What a text edit adds to the styles of every layer, (N, channels) each."""
    from seamline.editing import styleclip

    layers = styleclip.style_direction(bundle, text, in_deviations=algorithm is not Algorithm.STIT)
    return [strength[:, None] * layer.to(strength) for layer in layers]


def _sum(one: list[Tensor] | None, other: list[Tensor]) -> list[Tensor]:
    return other if one is None else [a + b for a, b in zip(one, other, strict=True)]


def _same(one: PlannedEdit, other: PlannedEdit) -> bool:
    """Whether two edits ask for the same thing, however strong and by whatever method."""
    if one.text is None or other.text is None:
        return one.text == other.text and one.name == other.name
    return (one.text.neutral, one.text.target) == (other.text.neutral, other.text.target)


def _planned(edit: media_pb2.Edit, bundle: Bundle, at: str) -> PlannedEdit:
    if edit.HasField("text") == bool(edit.name):
        both = "both a name and a text; ask for them as two edits" if edit.name else "neither a name nor a text"
        raise InvalidInput(f"{at} has {both}", field=f"{at}.name")
    keyframes = _keyframes(edit, at)
    text = _text(edit, bundle, at) if edit.HasField("text") else None
    method = _method(edit, at)
    for number, (_, strength) in enumerate(keyframes):
        where = f"{at}.keyframes[{number}].strength" if edit.keyframes else f"{at}.strength"
        _check_strength(edit.name, strength, bundle, at, where)
    if method is Method.LATENT_TRANSFORMER:
        latent_transformer.check(bundle, edit.name, f"{at}.method")
    return PlannedEdit(name=edit.name, text=text, method=method, keyframes=keyframes)


def _keyframes(edit: media_pb2.Edit, at: str) -> tuple[tuple[float, float], ...]:
    if not edit.keyframes:
        return ((0.0, edit.strength),)
    if edit.strength != 0:
        raise InvalidInput(f"{at} has a strength and keyframes; leave one out", field=f"{at}.strength")
    if len(edit.keyframes) > MAX_KEYFRAMES:
        raise InvalidInput(
            f"{at} has {len(edit.keyframes)} keyframes, more than {MAX_KEYFRAMES}", field=f"{at}.keyframes"
        )
    keyframes = tuple((keyframe.seconds, keyframe.strength) for keyframe in edit.keyframes)
    for number, (seconds, _) in enumerate(keyframes):
        where = f"{at}.keyframes[{number}].seconds"
        if not isfinite(seconds) or seconds < 0:
            raise InvalidInput(f"{where} must be a time from 0 on, got {seconds:g}", field=where)
        if number and seconds <= keyframes[number - 1][0]:
            raise InvalidInput(
                f"{where} must be later than the keyframe before it, at {keyframes[number - 1][0]:g} s; "
                f"got {seconds:g} s",
                field=where,
            )
    return keyframes


def _text(edit: media_pb2.Edit, bundle: Bundle, at: str) -> Text:
    from seamline.editing import styleclip

    given = edit.text
    beta = given.beta if given.HasField("beta") else styleclip.default_beta(bundle)
    text = Text(neutral=given.neutral, target=given.target, beta=beta)
    styleclip.check_text(text, bundle, f"{at}.text")
    return text


def _method(edit: media_pb2.Edit, at: str) -> Method:
    if edit.HasField("text"):
        if edit.method != media_pb2.EDIT_METHOD_UNSPECIFIED:
            raise InvalidInput(f"{at} has a text and a method; only named edits have methods", field=f"{at}.method")
        return Method.TEXT
    methods = {
        media_pb2.EDIT_METHOD_UNSPECIFIED: Method.DIRECTION,
        media_pb2.EDIT_METHOD_DIRECTION: Method.DIRECTION,
        media_pb2.EDIT_METHOD_LATENT_TRANSFORMER: Method.LATENT_TRANSFORMER,
    }
    if edit.method not in methods:
        raise InvalidInput(
            f"{at}.method is {edit.method}, which this version does not know: use one of {[*methods]}",
            field=f"{at}.method",
        )
    return methods[edit.method]


def _check_strength(name: str, strength: float, bundle: Bundle, at: str, where: str) -> None:
    """Raises UnknownEdit if the edit of this name, or a text edit where it is empty, cannot be that strong."""
    if not name:
        if not isfinite(strength) or abs(strength) > MAX_TEXT_STRENGTH:
            raise UnknownEdit(
                f"text edits take strengths from {-MAX_TEXT_STRENGTH:g} to {MAX_TEXT_STRENGTH:g}, got {strength:g}",
                field=where,
            )
        return
    try:
        bundle.check_edits([(name, strength)])
    except UnknownEdit as error:
        error.field = f"{at}.name" if error.field.endswith(".name") else where
        raise
