"""What is measured on the crops of one track in one frame range; everything else follows from it."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seamline.networks.arcface import face_window
from seamline_metrics.geometry import face_geometry
from seamline_metrics.identity import as_network_input

Crops = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]

BATCH = 8


class Networks(Protocol):
    """What measuring asks of a bundle."""

    def infer(self, name: str, *inputs: Tensor) -> Tensor:
        """Runs a batch through the network of a name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Figures of n frames; the first axis of every array is the frame.

    Source and edited figures are taken the same way. "Edited" is what the viewer sees: the stitched crop
    where the paste mask puts it, the source elsewhere.
    """

    frames: npt.NDArray[np.int64]
    """(n,) frame numbers."""
    source_identity: Values
    """(n, d) embeddings."""
    edited_identity: Values
    source_attributes: Values
    """(n, a) in standard deviations; (n, 0) if the bundle reads no attributes."""
    edited_attributes: Values
    source_geometry: Values
    """(n, g) landmark distances, see `geometry.NAMES`; (n, 0) if the bundle has no landmark network."""
    edited_geometry: Values
    border_naive: Values
    """(n,) mean absolute difference over the border mask, grey levels in [0, 1]; NaN where it is empty."""
    border_stitched: Values

    def to_bytes(self) -> bytes:
        """An npz file; equal measures give equal bytes."""
        file = io.BytesIO()
        np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Measures":
        """Reads what `to_bytes` made."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class TrackCrops:
    """The crops of one track's visible frames in one range: uint8 (n, S, S, 3) each."""

    frames: npt.NDArray[np.int64]
    source: Crops
    naive: Crops
    stitched: Crops
    masks: Crops
    """Channels: content, border, paste."""

    def as_seen(self) -> Crops:
        """The crops after pasting back, before the final resampling into the frame."""
        paste = self.masks[..., 2:3].astype(np.float32) / 255.0
        seen = self.source + paste * (self.stitched.astype(np.float32) - self.source)
        return np.rint(seen).astype(np.uint8)


def measure(
    crops: TrackCrops,
    networks: Networks,
    kinds: set[str],
    check: Callable[[], None] = lambda: None,
) -> Measures:
    """Measures one track in one range.

    Args:
        crops: of n visible frames.
        networks: the bundle.
        kinds: which of "identity", "attributes" and "landmarks" the bundle has; identity is a must.
        check: called between batches; raises to stop.
    """
    source, edited = (
        _networks_on(images, networks, kinds, check) for images in (crops.source, crops.as_seen())
    )
    return Measures(
        frames=crops.frames,
        source_identity=source["identity"],
        edited_identity=edited["identity"],
        source_attributes=source["attributes"],
        edited_attributes=edited["attributes"],
        source_geometry=source["landmarks"],
        edited_geometry=edited["landmarks"],
        border_naive=border_error(crops.naive, crops.source, crops.masks[..., 1]),
        border_stitched=border_error(crops.stitched, crops.source, crops.masks[..., 1]),
    )


def border_error(edited: Crops, source: Crops, border: npt.NDArray[np.uint8]) -> Values:
    """Mean |edited - source| over the border mask.

    Args:
        edited: (n, S, S, 3).
        source: (n, S, S, 3).
        border: (n, S, S), weights 0..255.

    Returns:
        (n,) in [0, 1]; NaN where a frame's border is empty.
    """
    errors = np.full(len(edited), np.nan, np.float32)
    for index, (image, original, mask) in enumerate(zip(edited, source, border, strict=True)):
        weight = mask.astype(np.float64)
        if weight.any():
            difference = np.abs(image.astype(np.int16) - original).mean(axis=2) / 255.0
            errors[index] = (difference * weight).sum() / weight.sum()
    return errors


def _networks_on(
    images: Crops, networks: Networks, kinds: set[str], check: Callable[[], None]
) -> dict[str, Values]:
    outputs: dict[str, list[Tensor]] = {"identity": [], "attributes": [], "landmarks": []}
    for batch in _batches(images):
        check()
        outputs["identity"].append(networks.infer("identity", face_window(batch)))
        if "attributes" in kinds:
            outputs["attributes"].append(networks.infer("attributes", batch))
        if "landmarks" in kinds:
            outputs["landmarks"].append(face_geometry(networks.infer("landmarks", batch)))
    empty = np.zeros((len(images), 0), np.float32)
    return {
        kind: torch.cat(parts).cpu().numpy().astype(np.float32) if parts else empty
        for kind, parts in outputs.items()
    }


def _batches(images: Crops) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield as_network_input(images[start : start + BATCH])
