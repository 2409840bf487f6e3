"""Puts a report together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamline.report import chart
from seamline.report.chart import Chart, line_chart
from seamline.report.pictures import FramePair, SeamCrops
from seamline.report.templates import render


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Seconds of a stage, with those of its steps."""

    name: str
    seconds: float
    share: float
    """Of the whole, in percent."""
    steps: dict[str, float]


def write_report(
    path: Path,
    figures: Mapping[str, Any],
    scores: Mapping[str, Any],
    pairs: Sequence[FramePair],
    seam: SeamCrops | None,
) -> None:
    """Writes the report of one edit.

    Args:
        path: the HTML file.
        figures: of the edit, as docs/calling.md lists them.
        scores: the content of its score object.
        pairs: frames before and after.
        seam: crops as they are, edited, and as they were blended.
    """
    page = render(
        "report.html.j2",
        title=edits_title(figures),
        figures=figures,
        charts=_charts(figures, scores),
        plot=chart,
        bars=_bars(figures),
        pairs=pairs,
        seam=seam,
    )
    path.write_text(page, encoding="utf-8")


def edits_title(figures: Mapping[str, Any]) -> str:
    """Says what was asked for, from the figures' edits (a strength each, or [seconds, strength] of its keyframes) and
    their style.
    """
    asked = [f"{name} {_strength_text(strength)}" for name, strength in figures["edits"].items()]
    if style := figures["style"]:
        asked.append(f"style {style['neutral']} → {style['target']} {style['strength']:+g}")
    return ", ".join(asked)


def _strength_text(strength: float | Sequence[Sequence[float]]) -> str:
    if isinstance(strength, int | float):
        return f"{strength:+g}"
    return " → ".join(f"{value:+g} at {seconds:g} s" for seconds, value in strength)


def _charts(figures: Mapping[str, Any], scores: Mapping[str, Any]) -> list[Chart]:
    frames, curves = scores["frames"], scores["curves"]
    seam = scores["seam_error"]["per_frame"]
    charts = [
        line_chart(
            "Identity over time",
            frames,
            {"TL-ID": curves["tl_id"], "TG-ID": curves["tg_id"]},
            note="How alike the edited frames are to each other, relative to the source: neighbouring "
            "frames, and all frames. 1 is ideal.",
            reference=1.0,
        ),
        line_chart(
            "Same person",
            frames,
            {"source to edit": curves["similarity"]},
            note="Cosine similarity of each edited frame's identity with its source frame's.",
            reference=1.0,
        ),
        line_chart(
            "Seam",
            frames,
            {"pasted back": seam["naive"], figures["blend"]: seam["stitched"]},
            note="Mean difference from the source along the border, grey levels in 0 to 1. Lower is better.",
            floor_at=0.0,
        ),
    ]
    if effects := {name: effect["per_frame"] for name, effect in scores["edit_effect"].items()}:
        charts.append(
            line_chart(
                "Effect",
                frames,
                effects,
                note="How far each frame moved the way asked, in standard deviations of the attribute.",
                floor_at=0.0,
            )
        )
    if strengths := scores.get("strengths"):
        charts.append(
            line_chart(
                "Strength",
                frames,
                strengths,
                note="What was asked for in each frame, eased between the keyframes.",
                floor_at=0.0,
            )
        )
    return charts


def _bars(figures: Mapping[str, Any]) -> list[Bar]:
    stages = figures["stage_seconds"]
    longest = max([*stages.values(), 1e-9])
    return [
        Bar(
            name=stage,
            seconds=seconds,
            share=100 * seconds / longest,
            steps={
                step.partition(".")[2]: value
                for step, value in figures["step_seconds"].items()
                if step.startswith(f"{stage}.")
            },
        )
        for stage, seconds in stages.items()
    ]
