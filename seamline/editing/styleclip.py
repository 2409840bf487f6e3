"""Edits from texts: the global directions of StyleCLIP (Patashnik et al. 2021, arXiv:2103.17249, section 6).

Where CLIP sees pictures go from the neutral text to the target is compared with where each style channel of the
generator takes them, which `seamline.editing.preparation` has measured beforehand.
"""

from functools import lru_cache
from math import floor, log10
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from seamline.bundles import Bundle
from seamline.bundles.relevance import convolution_channels, style_layers
from seamline.editing.edit import Text
from seamline.editing.prompt_templates import TEMPLATES
from seamline.errors import InvalidInput, Precondition
from seamline.networks import Generator
from seamline.networks.clip import Clip, token_ids
from seamline.networks.stylegan2 import SynthesisLayer

LONGEST_TEXT = 200
"""Characters that a text may have."""
SUGGESTED_CHANNELS = 20
"""Channels that the beta keeps which an error suggests."""


def default_beta(bundle: Bundle) -> float:
    """The beta of a request that gives none: the bundle's own, as similarities differ from CLIP to CLIP.

    Raises:
        Precondition: The bundle is not prepared for text edits.
    """
    return bundle.relevance.beta


def check_text(text: Text, bundle: Bundle, field: str) -> None:
    """Check a request's text edit by finding its direction.

    Args:
        text: What is asked for.
        bundle: With which.
        field: Where it stands in the request.

    Raises:
        InvalidInput: A text is empty, too long, of unknown words, or the same as the other; or beta is out of range
            or leaves no channel.
        Precondition: The bundle is not prepared for text edits.
    """
    if not 0 <= text.beta <= 1:
        raise InvalidInput(f"{field}.beta must be from 0 to 1, got {text.beta:g}", field=f"{field}.beta")
    bundle.relevance  # noqa: B018  whether there is one comes before what the words are
    check_words(bundle, text.neutral, text.target, field)
    try:
        style_direction(bundle, text)
    except InvalidInput as error:
        error.field = f"{field}.{error.field or 'target'}"
        raise


def style_direction(bundle: Bundle, text: Text, *, in_deviations: bool = True) -> list[Tensor]:
    """What to add to the styles of a face for a strength of 1.

    Args:
        bundle: One that is prepared for text edits.
        text: Neutral and target text, and how relevant a channel must be to take part.
        in_deviations: Whether every channel counts in its standard deviations, as in StyleCLIP, or in units of the
            style itself, as in Stitch it in Time.

    Returns:
        One (channels,) float32 per layer of `Generator.styles`: at convolutions at most one unit of the channel, and
        over all channels at most the bundle's `Relevance.longest_step`; zeros at toRGB.

    Raises:
        InvalidInput: The texts mean the same to CLIP, or no channel is relevant enough; the message names a beta that
            leaves some.
        Precondition: The bundle is not prepared for text edits.
    """
    return list(_style_direction(bundle, text, in_deviations))


@lru_cache(maxsize=64)
def _style_direction(bundle: Bundle, text: Text, in_deviations: bool) -> tuple[Tensor, ...]:
    relevance = bundle.relevance
    wanted = text_direction(bundle, text.neutral, text.target)
    steps = channel_steps(relevance.embeddings, wanted, text.beta)
    steps = steps * (relevance.longest_step / steps.norm()).clamp(max=1)
    if in_deviations:
        steps = steps * relevance.std
    generator = cast(Generator, bundle.module("generator"))
    convolutions = iter(steps.split(convolution_channels(generator)))
    return tuple(
        next(convolutions) if isinstance(layer, SynthesisLayer) else steps.new_zeros(layer.inputs)
        for layer in style_layers(generator)
    )


@torch.no_grad()
def text_direction(bundle: Bundle, neutral: str, target: str) -> Tensor:
    """Where texts go from the neutral one to the target: (D,) of unit length.

    Raises:
        InvalidInput: Nowhere.
        Precondition: As `clip_of`.
    """
    here, there = (text_embedding(bundle, text) for text in (neutral, target))
    if torch.allclose(here, there, atol=1e-6):
        raise InvalidInput(f"{neutral!r} and {target!r} mean the same; ask for something else", field="target")
    return F.normalize(there - here, dim=0)


def channel_steps(embeddings: Tensor, wanted: Tensor, beta: float) -> Tensor:
    """How far each style channel goes, in its standard deviations: (C,), 1 for the most relevant one.

    Args:
        embeddings: (C, D) unit vectors, where the channels take pictures.
        wanted: (D,) unit vector, where the texts go.
        beta: Channels of less relevance, that is |cosine|, stay.

    Raises:
        InvalidInput: No channel is that relevant.
    """
    relevance = embeddings @ wanted
    kept = torch.where(relevance.abs() < beta, 0.0, relevance)
    if not kept.any():
        raise InvalidInput(
            f"beta {beta:g} leaves no style channel to move: the most relevant one reaches "
            f"{float(relevance.abs().max()):.2g}; use beta {_suggested(relevance):g}",
            field="beta",
        )
    return kept / kept.abs().max()


def _suggested(relevance: Tensor) -> float:
    """A beta of two digits that keeps about `SUGGESTED_CHANNELS`."""
    strongest = relevance.abs().topk(min(SUGGESTED_CHANNELS, len(relevance))).values
    last = float(strongest[-1])
    step = 10.0 ** (floor(log10(last)) - 1) if last > 0 else 1.0
    return floor(last / step) * step


@torch.no_grad()
def text_embedding(bundle: Bundle, text: str) -> Tensor:
    """The mean (D,) of a text's embeddings in all prompts, of unit length.

    Raises:
        InvalidInput: The text has no word or too many.
        Precondition: As `clip_of`.
    """
    clip = clip_of(bundle)
    tokens = token_ids(clip.reader(), [template.format(text) for template in TEMPLATES], clip.config)
    return F.normalize(bundle.infer("clip_text", tokens.to(bundle.device)).mean(0), dim=0)


def clip_of(bundle: Bundle) -> Clip:
    """The bundle's CLIP, ready to read texts.

    Raises:
        Precondition: What reads them is not installed.
    """
    try:
        return cast(Clip, bundle.module("clip"))
    except ImportError as error:
        raise Precondition(
            f"text edits need the package {error.name}: pip install 'seamline[text]' where the services run"
        ) from error


def check_words(bundle: Bundle, neutral: str, target: str, field: str) -> None:
    """Check that the bundle's CLIP can read both texts.

    Raises:
        InvalidInput: A text is empty, too long or of unknown words; `field` says which.
        Precondition: As `clip_of`.
    """
    clip = clip_of(bundle)
    _check_words(neutral, clip, f"{field}.neutral")
    _check_words(target, clip, f"{field}.target")


def _check_words(text: str, clip: Clip, field: str) -> None:
    if not text.strip():
        raise InvalidInput(f"{field} is empty; say what the face is, for instance 'face with glasses'", field=field)
    if len(text) > LONGEST_TEXT:
        raise InvalidInput(f"{field} has {len(text)} characters, of {LONGEST_TEXT} at most; shorten it", field=field)
    unknown = clip.unknown_words(text)
    if unknown:
        raise InvalidInput(
            f"{field}: the bundle's CLIP has never met {', '.join(map(repr, unknown))}; say it in other words",
            field=field,
        )
    try:
        token_ids(clip.reader(), [template.format(text) for template in TEMPLATES], clip.config)
    except InvalidInput as error:
        raise InvalidInput(f"{field} cannot be read as part of a prompt: {error}", field=field) from error
