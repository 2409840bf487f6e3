"""How far each style channel of a bundle's generator moves pictures in its CLIP's space."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from torch import Tensor

from seamline.errors import InvalidInput
from seamline.networks.stylegan2 import Generator, SynthesisLayer, ToRgb

FILE = "relevance.safetensors"


@dataclass(frozen=True, kw_only=True)
class Relevance:
    """What StyleCLIP's global directions need (Patashnik et al. 2021, arXiv:2103.17249, section 6).

    C counts the style channels of all convolutions, coarse to fine, without those of toRGB.
    """

    embeddings: Tensor
    """(C, D) where CLIP sees pictures go as a channel grows: rows of unit length."""
    mean: Tensor
    """(C,) mean of each channel over faces."""
    std: Tensor
    """(C,) its standard deviation."""
    beta: float
    """For requests that give none: channels of less relevance stay. CLIPs differ in how alike things are to them."""
    longest_step: float = inf
    """How far a text's edit of strength 1 goes at most: root of the sum of squares over the channels, each in its
    standard deviations. Endless as published; where many channels are relevant to one text, their sum needs a bound."""

    def tensors(self) -> dict[str, Tensor]:
        """As they are stored, by name."""
        return {"relevance": self.embeddings, "style_mean": self.mean, "style_std": self.std}

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, Tensor],
        beta: float,
        shape: tuple[int, int],
        what: str,
        longest_step: float = inf,
    ) -> "Relevance":
        """Take stored tensors.

        Args:
            tensors: As `tensors` gives them.
            beta: As the manifest says.
            shape: (C, D) of the bundle's generator and CLIP.
            what: Names the file.
            longest_step: As the manifest says.

        Raises:
            InvalidInput: One is missing, or does not fit the generator's channels and CLIP's embedding.
        """
        for name, needed in {"relevance": shape, "style_mean": shape[:1], "style_std": shape[:1]}.items():
            found = tuple(tensors[name].shape) if name in tensors else None
            if found != needed:
                raise InvalidInput(f"{what}: tensor {name} has shape {found}, generator and CLIP need {needed}")
        return cls(
            embeddings=tensors["relevance"],
            mean=tensors["style_mean"],
            std=tensors["style_std"],
            beta=beta,
            longest_step=longest_step,
        )


def style_layers(generator: Generator) -> list[SynthesisLayer | ToRgb]:
    """The layers whose styles `Generator.styles` returns, in that order."""
    return [layer for block in generator.synthesis.blocks for layer in block.styled_layers()]


def convolution_channels(generator: Generator) -> list[int]:
    """Style channels of every convolution, coarse to fine."""
    return [layer.inputs for layer in style_layers(generator) if isinstance(layer, SynthesisLayer)]
