"""From the measures of every track to the scores of the video, as JSON values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seamline_metrics import geometry
from seamline_metrics.identity import Consistency, consistency, similarity
from seamline_metrics.measure import Measures

Array = npt.NDArray[np.float64]
DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class EditRequest:
    """One edit that was asked for, and where its attribute stands in the network's output."""

    name: str
    strength: float | Array
    """One for the whole video, or (n,) for each of its edited frames, in the order of the scores."""
    attribute: int | None = None
    """Column of the attribute network; None if the bundle does not read this attribute."""


def summarize(tracks: Mapping[int, Measures], edits: Sequence[EditRequest]) -> dict[str, Any]:
    """The scores of a video.

    Pairs of frames count only within a track: two people need not be alike.

    Args:
        tracks: per track its measures of all edited frames in order; at least one frame in all.
        edits: what was asked for.

    Returns:
        The content of the score object, as docs/calling.md lists it.
    """
    measures = list(tracks.values())
    parts = [consistency(m.source_identity, m.edited_identity) for m in measures]
    same = np.concatenate([similarity(m.source_identity, m.edited_identity) for m in measures])
    naive, stitched = (
        np.concatenate([getattr(m, f"border_{which}") for m in measures]) for which in ("naive", "stitched")
    )
    return {
        "tl_id": _round(_pooled([part.neighbours for part in parts])),
        "tg_id": _round(_tg_id(parts)),
        "identity_similarity": _round(same.mean()),
        "frames": [int(frame) for m in measures for frame in m.frames],
        "tracks": [track for track, m in tracks.items() for _ in m.frames],
        "curves": {
            "tl_id": _column([part.local for part in parts]),
            "tg_id": _column([part.overall for part in parts]),
            "similarity": _column([same]),
        },
        "seam_error": {
            "naive": _round(_known_mean(naive)),
            "stitched": _round(_known_mean(stitched)),
            "per_frame": {"naive": _column([naive]), "stitched": _column([stitched])},
        },
        "edit_effect": {edit.name: effect for edit in edits if (effect := _effect(measures, edit))},
        "strengths": {edit.name: _column([edit.strength]) for edit in edits if isinstance(edit.strength, np.ndarray)},
        "geometry": {edit.name: moved for edit in edits if (moved := _geometry(measures, edit))},
    }


def _tg_id(parts: Sequence[Consistency]) -> float:
    """Mean over all pairs of all tracks: a track's mean counts as often as it has pairs."""
    pairs = np.array([part.overall.size * (part.overall.size - 1) for part in parts])
    if not pairs.any():
        return 1.0
    return float(sum(part.tg_id * count for part, count in zip(parts, pairs, strict=True)) / pairs.sum())


def _effect(measures: Sequence[Measures], edit: EditRequest) -> dict[str, Any] | None:
    """How far the attribute moved the way asked, in its standard deviations; where nothing is asked it has no way."""
    if edit.attribute is None or not np.any(edit.strength):
        return None
    moved = np.concatenate([(m.edited_attributes - m.source_attributes)[:, edit.attribute] for m in measures])
    way = np.broadcast_to(np.sign(edit.strength), moved.shape)
    asked = way != 0
    change = np.where(asked, moved * way, np.nan)
    return {
        "mean": _round(change[asked].mean()),
        "share_of_frames": _round((change[asked] > 0).mean()),
        "per_frame": _column([change]),
    }


def _geometry(measures: Sequence[Measures], edit: EditRequest) -> dict[str, float] | None:
    """The landmark distance that the edit must move, before and after, in distances between the eyes."""
    if edit.name not in geometry.NAMES or any(m.source_geometry.shape[1] == 0 for m in measures):
        return None
    column = geometry.NAMES.index(edit.name)
    source, edited = (
        np.concatenate([getattr(m, f"{which}_geometry")[:, column] for m in measures]) for which in ("source", "edited")
    )
    return {"source": _round(source.mean()), "edited": _round(edited.mean())}


def _pooled(arrays: Sequence[Array]) -> float:
    values = np.concatenate(arrays)
    return float(values.mean()) if values.size else 1.0


def _known_mean(values: npt.NDArray[np.floating[Any]]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0


def _column(arrays: Sequence[npt.NDArray[np.floating[Any]]]) -> list[float | None]:
    """JSON has no NaN; a figure that a frame does not have is null."""
    return [None if np.isnan(value) else _round(value) for array in arrays for value in array]


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), DIGITS)
