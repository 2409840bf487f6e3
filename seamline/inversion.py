"""Reading and writing what the inverter makes: the pivots of each track, and the generator that draws from them."""

from collections.abc import Mapping

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamline.editing.style import Style
from seamline.errors import InvalidInput
from seamline.networks import Generator
from seamline.storage.artifact import Artifact
from seamline.storage.store import Store
from seamline.v1.media_pb2 import ArtifactRef


class Inversion:
    """A finished inversion.

    Attributes:
        artifact: what it is read from.
        alignment_sha256: digest of the alignment that it belongs to.
        bundle_digest: digest of the bundle's manifest.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.alignment_sha256: str = artifact.meta["alignment_sha256"]
        self.bundle_digest: str = artifact.meta["bundle_digest"]

    @classmethod
    def open(cls, store: Store, ref: ArtifactRef) -> "Inversion":
        """Opens an inversion; raises as `Artifact.open`."""
        if not ref.uri:
            raise InvalidInput("the request names no inversion", field="inversion")
        return cls(Artifact.open(store, ref, stage="invert"))

    @property
    def video(self) -> str:
        """Digest of the video that it is of."""
        return self.artifact.recipe.video

    @property
    def sha256(self) -> str:
        """Digest that names it in the recipes of later stages."""
        return self.artifact.ref.sha256

    @property
    def tracks(self) -> list[int]:
        """Numbers of the tracks that were inverted."""
        return [track["id"] for track in self.artifact.meta["tracks"]]

    @property
    def styles(self) -> tuple[Style, ...]:
        """The styles that the generators draw in, beyond the video's own."""
        return tuple(Style(**style) for style in self.artifact.meta.get("styles", ()))

    def pivots(self, track: int) -> tuple[NDArray[np.int32], Tensor]:
        """Numbers of a track's visible frames (n,), ascending, and their codes (n, L, w_dim)."""
        tensors = safetensors.torch.load(self.artifact.read_part(pivots_part(track)))
        return tensors["frames"].numpy().astype(np.int32), tensors["pivots"]

    def tune(self, generator: Generator, track: int) -> Generator:
        """Gives a generator of the same bundle the weights made for a track; without any it stays as it is.

        Raises:
            InvalidInput: they do not fit it.
        """
        name = generator_part(track)
        if name not in self.artifact.parts:
            return generator
        tuned = safetensors.torch.load(self.artifact.read_part(name))
        parameters = dict(generator.synthesis.named_parameters())
        if {key: value.shape for key, value in tuned.items()} != {
            key: value.shape for key, value in parameters.items()
        }:
            raise InvalidInput(f"part {name} of {self.artifact.ref.uri} is not of the bundle's generator")
        with torch.no_grad():
            for key, parameter in parameters.items():
                parameter.copy_(tuned[key])
        return generator


def encode_pivots(frames: NDArray[np.int32], pivots: Tensor) -> bytes:
    """What `Inversion.pivots` reads."""
    return _encode({"frames": torch.from_numpy(frames), "pivots": pivots})


def encode_generator(generator: Generator, *, exact: bool = False) -> bytes:
    """What `Inversion.tune` reads: in float16, which moves no pixel by more than half a grey level, or as it is."""
    weights = generator.synthesis.named_parameters()
    return _encode({name: weight if exact else weight.half() for name, weight in weights})


def _encode(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def pivots_part(track: int) -> str:
    """Name of the part with a track's codes."""
    return f"pivots-{track}.safetensors"


def generator_part(track: int) -> str:
    """Name of the part with a track's own weights; absent when the codes alone were found."""
    return f"generator-{track}.safetensors"
