"""What every exported model takes and gives, in words and in shapes: the same for ONNX files and for servers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from seamline.networks import attributes, clip, fan, landmarks, s3fd
from seamline.networks.arcface import ArcFaceConfig
from seamline.networks.attributes import AttributesConfig
from seamline.networks.bisenet import BiSeNetConfig
from seamline.networks.clip import ClipConfig
from seamline.networks.detector import MULTIPLE, STRIDE, FaceDetectorConfig
from seamline.networks.e4e import E4eConfig
from seamline.networks.fan import FanConfig
from seamline.networks.landmarks import POINTS, LandmarkConfig
from seamline.networks.latent_transformer import LatentTransformerConfig
from seamline.networks.lpips import LpipsConfig
from seamline.networks.s3fd import S3fdConfig

PARSING_MULTIPLE = 32
"""The coarsest stride of both versions of the parsing network."""
FAN_SIDE = fan.INPUT_SIZE // 4
"""Of the heatmaps."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """A side of pictures that the caller chooses."""

    name: str
    multiple: int
    """It is a multiple of this many pixels."""


HEIGHT, WIDTH = "height", "width"


@dataclass(frozen=True, kw_only=True)
class Port:
    """A tensor that goes in or comes out."""

    name: str
    shape: tuple[int | Side, ...]
    """Without the batch axis, which is the first and of any size."""
    meaning: str
    """What is in it, for whoever calls the model."""
    dtype: Literal["float32", "int64"] = "float32"
    labels: bool = False
    """Whether its numbers are names, of which one is as different from another as from a third."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The tensors of a model."""

    inputs: tuple[Port, ...]
    output: Port
    tokens: ClipConfig | None = None
    """What int64 inputs are tokens of."""

    @property
    def ports(self) -> tuple[Port, ...]:
        """Inputs, then the output."""
        return (*self.inputs, self.output)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A frozen network, or a part of one, as a model of its own."""

    kind: str
    """The network, as bundles name it."""
    signature: Callable[[Any, int], Signature]
    """From the network's config and the side of the bundle's crops."""
    reduced: Callable[[Tensor, int], Tensor] | None = None
    """Brings pictures to the side that the model takes, where the network itself takes larger ones too."""
    simplify: bool = True
    """Whether terms next to 0 may be dropped: not where they keep features that are all 0 from giving 0 / 0."""


def _crops(side: int | tuple[Side, Side], reduced: str = "", name: str = "images", what: str = "aligned crops") -> Port:
    sides = (side, side) if isinstance(side, int) else side
    size = f"; reduce larger ones {reduced}" if reduced else ""
    return Port(name=name, shape=(3, *sides), meaning=f"{what}, RGB in [-1, 1]{size}")


def _free(multiple: int) -> tuple[Side, Side]:
    return Side(name=HEIGHT, multiple=multiple), Side(name=WIDTH, multiple=multiple)


def _one(images: Port, output: Port) -> Signature:
    return Signature(inputs=(images,), output=output)


def _landmarks(config: LandmarkConfig, resolution: int) -> Signature:
    images = _crops(config.input_size, "bilinearly with antialiasing", what="square crops around one face each")
    meaning = "x and y in shares of the crop's side, (0, 0) its upper left corner"
    return _one(images, Port(name="points", shape=(POINTS, 2), meaning=meaning))


def _detector(config: FaceDetectorConfig, resolution: int) -> Signature:
    what = f"frames, scaled to about {config.input_size} pixels and padded to multiples of {MULTIPLE}"
    sides = tuple(Side(name=f"{name}/{STRIDE}", multiple=MULTIPLE // STRIDE) for name in (HEIGHT, WIDTH))
    meaning = "log-odds of a face's centre, then pixels to the left, top, right and bottom of its box"
    return _one(_crops(_free(MULTIPLE), what=what), Port(name="faces", shape=(5, *sides), meaning=meaning))


def _s3fd(config: S3fdConfig, resolution: int) -> Signature:
    what = f"frames, padded to multiples of {s3fd.MULTIPLE}"
    meaning = "left, top, right, bottom in pixels and the score of every anchor"
    faces = Port(name="faces", shape=(Side(name="anchors", multiple=1), 5), meaning=meaning)
    return _one(_crops(_free(s3fd.MULTIPLE), what=what), faces)


def _fan4(config: FanConfig, resolution: int) -> Signature:
    shape, meaning = (fan.POINTS, FAN_SIDE, FAN_SIDE), "where each point may be"
    what = "square crops around one face each"
    return _one(_crops(fan.INPUT_SIZE, what=what), Port(name="heatmaps", shape=shape, meaning=meaning))


def _e4e(config: E4eConfig, resolution: int) -> Signature:
    meaning = "offsets from the generator's average code"
    codes = Port(name="codes", shape=(config.num_ws, config.w_dim), meaning=meaning)
    return _one(_crops(config.input_size, "to means of areas"), codes)


def _parsing(config: BiSeNetConfig, resolution: int) -> Signature:
    sides = _free(PARSING_MULTIPLE)
    meaning = f"of every pixel, from 0 to {config.classes - 1}"
    return _one(_crops(sides), Port(name="classes", shape=(1, *sides), meaning=meaning, labels=True))


def _identity(config: ArcFaceConfig, resolution: int) -> Signature:
    what = "rows 35 to 222 and columns 32 to 219 of aligned crops of 256 pixels"
    embedding = Port(name="embedding", shape=(config.embedding,), meaning="of unit length")
    return _one(_crops(config.input_size, "to means of areas", what=what), embedding)


def _perceptual(config: LpipsConfig, resolution: int) -> Signature:
    first, second = (_crops(resolution, name=name) for name in ("first", "second"))
    return Signature(inputs=(first, second), output=Port(name="distance", shape=(), meaning="0 for equal pictures"))


def _attributes(config: AttributesConfig, resolution: int) -> Signature:
    values = Port(name="values", shape=(len(config.names),), meaning=f"in deviations: {', '.join(config.names)}")
    return _one(_crops(config.input_size, "to means of areas"), values)


def _clip(config: ClipConfig, resolution: int) -> Signature:
    images = _crops(config.image_size, "bicubically with antialiasing and clamp them", what="pictures")
    return _one(images, Port(name="embedding", shape=(config.embedding,), meaning="of unit length"))


def _clip_text(config: ClipConfig, resolution: int) -> Signature:
    meaning = f"tokens of the bundle's tokenizer, filled up with the end token {config.end_token}"
    tokens = Port(name="tokens", shape=(config.text_tokens,), meaning=meaning, dtype="int64")
    embedding = Port(name="embedding", shape=(config.embedding,), meaning="of unit length")
    return Signature(inputs=(tokens,), output=embedding, tokens=config)


def _latent_transformer(config: LatentTransformerConfig, resolution: int) -> Signature:
    codes = Port(name="codes", shape=(config.num_ws, config.w_dim), meaning="w+ codes, the average code among them")
    strengths = Port(name="strengths", shape=(len(config.names),), meaning=f"in deviations: {', '.join(config.names)}")
    edited = Port(name="edited", shape=codes.shape, meaning="the codes, edited")
    return Signature(inputs=(codes, strengths), output=edited)


MODELS: Final[Mapping[str, Model]] = {
    "landmarks": Model(kind="landmarks", signature=_landmarks, reduced=landmarks.reduced),
    "detector": Model(kind="detector", signature=_detector),
    "s3fd": Model(kind="s3fd", signature=_s3fd, simplify=False),
    "fan4": Model(kind="fan4", signature=_fan4),
    "e4e": Model(kind="e4e", signature=_e4e),
    "parsing": Model(kind="parsing", signature=_parsing),
    "identity": Model(kind="identity", signature=_identity),
    "perceptual": Model(kind="perceptual", signature=_perceptual, simplify=False),
    "attributes": Model(kind="attributes", signature=_attributes, reduced=attributes.reduced),
    "clip": Model(kind="clip", signature=_clip, reduced=clip.reduced),
    "clip_text": Model(kind="clip", signature=_clip_text),
    "latent_transformer": Model(kind="latent_transformer", signature=_latent_transformer),
}
"""By name, which is the file's. The generator and the hypernetwork are missing: the one is tuned for every video, the
other's output is as large as the generator."""


def draw(signature: Signature, count: int, seed: int) -> Sequence[Tensor]:
    """Inputs of a batch, for checks: uniform in [-1, 1], or texts of 1 to all tokens.

    Sides that are free differ from each other and from seed to seed.
    """
    random = torch.Generator().manual_seed(seed)
    sides = {HEIGHT: 2 + seed, WIDTH: 3 + seed}
    drawn = []
    for port in signature.inputs:
        shape = [count, *(s if isinstance(s, int) else s.multiple * sides[s.name] for s in port.shape)]
        if signature.tokens is not None and port.dtype == "int64":
            drawn.append(_texts(signature.tokens, count, random))
        else:
            drawn.append(torch.rand(shape, generator=random) * 2 - 1)
    return drawn


def _texts(config: ClipConfig, count: int, random: torch.Generator) -> Tensor:
    tokens = torch.randint(0, config.vocabulary - 1, (count, config.text_tokens), generator=random)
    tokens += tokens >= config.end_token  # any but the end token
    lengths = torch.randint(1, config.text_tokens, (count, 1), generator=random)
    return torch.where(torch.arange(config.text_tokens) < lengths, tokens, config.end_token)
