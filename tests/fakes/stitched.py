"""Stitched ranges as the stitcher writes them, whose edit is a shift in grey level."""

from collections.abc import Sequence

import numpy as np

from seamline.alignment import Alignment, Range
from seamline.editing.edit import PlannedEdit
from seamline.editing.keyframes import Keyframes
from seamline.storage import ArtifactWriter, Recipe, Store, encode_frames
from seamline.v1.media_pb2 import ArtifactRef

NAIVE, STITCHED = 40, 10
"""Grey levels by which the edit is off, before and after stitching."""


def put_stitched(
    store: Store,
    alignment: ArtifactRef,
    frames: Range,
    *,
    edits: Sequence[tuple[str, float | Keyframes]] = (("smile", 2.0),),
) -> ArtifactRef:
    """Writes the edit of one frame range, a union of the alignment's ranges; a strength may be keyframes."""
    aligned = Alignment.open(store, alignment)
    recipe = Recipe(
        video=aligned.video,
        stage="stitch",
        version=0,
        inputs={"alignment": alignment.sha256},
        parameters={"range": list(frames), "edits": [_parameters(name, strength) for name, strength in edits]},
    )
    writer = ArtifactWriter(store, recipe)
    visible = aligned.geometry(0).frames
    for stored in aligned.ranges:
        if frames[0] <= stored[0] and stored[1] <= frames[1]:
            _put_range(writer, aligned, stored)
    return writer.finish(
        {
            "alignment_sha256": alignment.sha256,
            "edits": [[name, _peak(strength)] for name, strength in edits],
            "range": list(frames),
            "blend": "stitch",
            "frames": [{"frame": int(n), "track": 0} for n in visible if frames[0] <= n < frames[1]],
        }
    )


def _parameters(name: str, strength: float | Keyframes) -> dict[str, object]:
    keyframes = strength if isinstance(strength, Sequence) else [(0.0, strength)]
    return PlannedEdit(name=name, keyframes=tuple(keyframes)).parameters()


def _peak(strength: float | Keyframes) -> float:
    return max((s for _, s in strength), key=abs) if isinstance(strength, Sequence) else strength


def _put_range(writer: ArtifactWriter, aligned: Alignment, stored: Range) -> None:
    span = f"{stored[0]:06d}-{stored[1]:06d}"
    source = aligned.crops(0, [stored])
    if len(source):
        writer.put_part(f"naive-0-{span}", encode_frames(_shifted(source, NAIVE)))
        writer.put_part(f"stitched-0-{span}", encode_frames(_shifted(source, STITCHED)))
        writer.put_part(f"masks-0-{span}", encode_frames(np.full_like(source, 255)))
    writer.put_part(f"frames-{span}", encode_frames(_shifted(aligned.frames(stored), STITCHED)))


def _shifted(images: np.ndarray, levels: int) -> np.ndarray:
    """Brighter where there is room, else darker: every pixel differs by `levels`."""
    return np.where(images < 128, images + levels, images - levels).astype(np.uint8)
