"""The figures of an edit, as they are written to JSON and shown on the terminal; docs/calling.md lists them."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from seamline.cli.arguments import NamedEdits
from seamline.cli.choices import Choices
from seamline.cli.progress import STAGES
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.inverter_pb2 import RestyleResult
from seamline.v1.media_pb2 import Edit, EditMethod, TextStyle


def summarize(
    result: EditVideoResult, scores: Mapping[str, Any], variant: NamedEdits, choices: Choices
) -> dict[str, Any]:
    """The figures of one edit.

    Args:
        result: of the editor's call.
        scores: the content of its score object.
        variant: what was asked for.
        choices: how it was made.
    """
    video, inversion, measured = result.video, result.inversion_figures, result.scores
    effects = {effect.name: effect.mean for effect in measured.edit_effects}
    stage_seconds = {stage: round(result.stage_seconds[stage], 3) for stage in STAGES if stage in result.stage_seconds}
    edits = variant.edits
    return {
        "bundle": result.bundle,
        "edits": {label(edit): _strength(edit) for edit in edits},
        "methods": {label(edit): _method(edit) for edit in edits},
        "style": _style(variant.style, result.restyle_figures) if variant.style else None,
        **choices.names(),
        "frames": video.frame_count,
        "edited_frames": len(scores["frames"]),
        "width": video.width,
        "height": video.height,
        "fps": video.fps,
        "duration_seconds": video.duration_seconds,
        "has_audio": video.has_audio,
        "tl_id": measured.tl_id,
        "tg_id": measured.tg_id,
        "identity_similarity": measured.identity_similarity,
        "inversion_psnr_db": inversion.psnr_db,
        "encoder_psnr_db": inversion.pivot_psnr_db,
        "seam_error": {"naive": measured.seam_error.naive, "stitched": measured.seam_error.stitched},
        "edit_effect": effects.get(edits[0].name) if edits else None,
        "edit_effects": effects,
        "share_of_frames": {effect.name: effect.share_of_frames for effect in measured.edit_effects},
        "geometry": scores["geometry"],
        "stage_seconds": stage_seconds,
        "step_seconds": {step: round(seconds, 3) for step, seconds in sorted(result.step_seconds.items())},
        "seconds_per_frame": round(sum(stage_seconds.values()) / max(video.frame_count, 1), 4),
        "edited": {"uri": result.edited.uri, "sha256": result.edited.sha256},
    }


def label(edit: Edit) -> str:
    """What the figures call an edit: its name, or its texts."""
    return edit.name or f"{edit.text.neutral} → {edit.text.target}"


def _strength(edit: Edit) -> float | list[list[float]]:
    """The strength, or [seconds, strength] of every keyframe."""
    return [[keyframe.seconds, keyframe.strength] for keyframe in edit.keyframes] or edit.strength


def _style(style: TextStyle, figures: RestyleResult) -> dict[str, Any]:
    strength = style.strength if style.HasField("strength") else 1.0
    learned = {"steps": figures.steps, "loss": figures.loss}
    return {"neutral": style.neutral, "target": style.target, "strength": strength, **learned}


def _method(edit: Edit) -> str:
    if edit.HasField("text"):
        return "text"
    transformer = edit.method == EditMethod.EDIT_METHOD_LATENT_TRANSFORMER
    return "latent-transformer" if transformer else "direction"


def figures_table(figures: Mapping[str, Any]) -> Table:
    """The figures that matter most, for the terminal."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    seam = figures["seam_error"]
    table.add_row("frames", f"{figures['edited_frames']} of {figures['frames']} edited")
    table.add_row("TL-ID, TG-ID", f"{figures['tl_id']:.4f}, {figures['tg_id']:.4f} (1 is ideal)")
    table.add_row("inversion", f"{figures['inversion_psnr_db']:.1f} dB by {figures['inversion']}")
    table.add_row("seam", f"{seam['naive']:.4f} pasted back, {seam['stitched']:.4f} by {figures['blend']}")
    if style := figures["style"]:
        table.add_row("style", f"{style['neutral']} → {style['target']}, {style['strength']:g} of it")
    for name, effect in figures["edit_effects"].items():
        table.add_row(f"{name} moved", f"{effect:+.2f} deviations the way asked")
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in figures["stage_seconds"].items())
    table.add_row("seconds", stages)
    return table
