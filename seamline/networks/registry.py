"""Which network class each kind of a bundle is, and the config that it is built from."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from torch import nn

from seamline.networks.arcface import ArcFace, ArcFaceConfig
from seamline.networks.attributes import AttributeNetwork, AttributesConfig
from seamline.networks.bisenet import BiSeNet, BiSeNetConfig, PixelClasses
from seamline.networks.bisenet_v2 import BiSeNetV2
from seamline.networks.clip import Clip, ClipConfig, TextTower
from seamline.networks.detector import FaceDetector, FaceDetectorConfig
from seamline.networks.e4e import E4eConfig, E4eEncoder
from seamline.networks.fan import Fan, FanConfig
from seamline.networks.hyperstyle import HyperStyle, HyperStyleConfig
from seamline.networks.landmarks import LandmarkConfig, LandmarkNetwork
from seamline.networks.latent_transformer import LatentTransformer, LatentTransformerConfig
from seamline.networks.lpips import Lpips, LpipsConfig
from seamline.networks.s3fd import S3fd, S3fdConfig
from seamline.networks.stylegan2 import Generator, GeneratorConfig


class Kind(NamedTuple):
    """A network class and its config class."""

    network: Callable[..., nn.Module]
    config: Callable[..., Any]


def _parsing(config: BiSeNetConfig) -> BiSeNet | BiSeNetV2:
    return (BiSeNet if config.version == 1 else BiSeNetV2)(config)


KINDS: Final[Mapping[str, Kind]] = {
    "generator": Kind(Generator, GeneratorConfig),
    "e4e": Kind(E4eEncoder, E4eConfig),
    "hyperstyle": Kind(HyperStyle, HyperStyleConfig),
    "parsing": Kind(_parsing, BiSeNetConfig),
    "identity": Kind(ArcFace, ArcFaceConfig),
    "perceptual": Kind(Lpips, LpipsConfig),
    "landmarks": Kind(LandmarkNetwork, LandmarkConfig),
    "detector": Kind(FaceDetector, FaceDetectorConfig),
    "s3fd": Kind(S3fd, S3fdConfig),
    "fan4": Kind(Fan, FanConfig),
    "attributes": Kind(AttributeNetwork, AttributesConfig),
    "clip": Kind(Clip, ClipConfig),
    "latent_transformer": Kind(LatentTransformer, LatentTransformerConfig),
}


class Entry(NamedTuple):
    """What of a network is run where nothing tunes it."""

    kind: str
    part: Callable[[nn.Module], nn.Module]


ENTRIES: Final[Mapping[str, Entry]] = {
    "parsing": Entry("parsing", PixelClasses),
    "clip_text": Entry("clip", TextTower),
}
"""By name; any other name is that of a kind, of which all is run."""


def configured(kind: str, config: Mapping[str, Any]) -> Any:
    """An object of a kind's config class; see `build`."""
    return KINDS[kind].config(**config)


def build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    Args:
        kind: A key of `KINDS`.
        config: The fields of its config class; those left out take their defaults.

    Raises:
        KeyError: There is no such kind.
        TypeError: The config has an unknown field.
        InvalidInput: A field's value is out of range.
        ValueError: The same, of attributes.
    """
    return KINDS[kind].network(configured(kind, config))
