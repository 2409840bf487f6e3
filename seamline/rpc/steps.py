"""Every step of every stage: what its progress counts, and which of its figures are kept.

From this table come the label sets that exist before anything has happened, so that a dashboard shows zeros and a
rate sees the first event. A step that a service times is in it; a test compares.
"""

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from importlib import metadata

from seamline.rpc import metrics


class Counts(Enum):
    """What one more of a step's `done` is."""

    OTHER = auto()
    FRAMES = auto()
    """A frame; each stage has at most one such step for a frame."""
    OPTIMISER_STEPS = auto()
    """An optimiser step of one frame."""


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """What one step says about itself."""

    counts: Counts = Counts.OTHER
    figures: tuple[str, ...] = ()
    """Figures whose last values go into histograms when the step ends well; see `keep_figures`."""


_PLAIN = StepKind()
_FRAMES = StepKind(counts=Counts.FRAMES)


def _optimised(*figures: str) -> StepKind:
    return StepKind(counts=Counts.OPTIMISER_STEPS, figures=figures)


SCORES = ("tl_id", "tg_id", "identity_similarity")
SEAM_ERRORS = ("seam_error_naive", "seam_error_stitched")
LOSSES = ("loss", "border_loss")
PSNR = "psnr_db"

STEPS: Mapping[str, Mapping[str, StepKind]] = {
    "align": {"fetch": _PLAIN, "probe": _PLAIN, "observe": _FRAMES, "track": _PLAIN, "crop": _PLAIN},
    "invert": {
        "encode": StepKind(counts=Counts.FRAMES, figures=(PSNR,)),
        "search": _optimised("loss"),
        "predict": _PLAIN,
        "refine": _optimised("loss", PSNR),
        "measure": StepKind(figures=(PSNR,)),
        "pti": _optimised("loss", PSNR),
        "write": _PLAIN,
    },
    "restyle": {"learn": _optimised("loss"), "apply": _PLAIN, "write": _PLAIN},
    "stitch": {
        "read": _PLAIN,
        "load": _PLAIN,
        "edit": _PLAIN,
        "stitch": _optimised("border_loss", "loss"),
        "blend": _PLAIN,
        "paste": _FRAMES,
        "write": _PLAIN,
    },
    "preview": {"draw": _PLAIN, "sheet": _PLAIN, "write": _PLAIN},
    "score": {"measure": _FRAMES, "compare": StepKind(figures=(*SCORES, *SEAM_ERRORS))},
    "mux": {"fetch": _PLAIN, "encode": _FRAMES},
    "fetch": {"download": _PLAIN, "keep": _PLAIN},
    "deliver": {"read": _PLAIN, "upload": _PLAIN},
}
SERVICES: Mapping[str, tuple[str, ...]] = {
    "seamline.v1.AlignerService": ("align",),
    "seamline.v1.InverterService": ("invert", "restyle"),
    "seamline.v1.StitcherService": ("stitch", "preview"),
    "seamline.v1.MetricsService": ("score",),
    "seamline.v1.EditorService": ("fetch", "mux", "deliver"),
}
"""The stages that each service runs."""


def declare(service_full_name: str) -> None:
    """Starts the metrics of a service's stages at zero, and says what runs."""
    metrics.BUILD.info(
        {
            "service": service_full_name,
            "version": metadata.version("seamline"),
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        }
    )
    for stage in SERVICES.get(service_full_name, ()):
        for metric in (metrics.RUNNING, metrics.QUEUED, metrics.QUEUE_SECONDS):
            metric.labels(stage)
        for reason in ("busy", "full", "draining"):
            metrics.REFUSED.labels(stage, reason)
        for step, kind in STEPS[stage].items():
            _declare_step(stage, step, kind)


def _declare_step(stage: str, step: str, kind: StepKind) -> None:
    metrics.STAGE.labels(stage, step)
    count(stage, step, 0)
    for figure in kind.figures:
        _histogram(stage, step, figure)


def count(stage: str, step: str, done: int) -> None:
    """Counts `done` more of what the step counts."""
    counts = _kind(stage, step).counts
    if counts is Counts.FRAMES:
        metrics.FRAMES.labels(stage).inc(done)
    elif counts is Counts.OPTIMISER_STEPS:
        metrics.OPTIMISER_STEPS.labels(stage, step).inc(done)


def keep_figures(stage: str, step: str, figures: Mapping[str, float]) -> None:
    """Puts the last figures of a step that ended well into their histograms; a NaN would spoil a sum for ever."""
    for name in _kind(stage, step).figures:
        if math.isfinite(value := figures.get(name, math.nan)):
            _histogram(stage, step, name).observe(value)


def _kind(stage: str, step: str) -> StepKind:
    return STEPS.get(stage, {}).get(step, _PLAIN)


def _histogram(stage: str, step: str, figure: str) -> metrics.Histogram:
    if figure == PSNR:
        return metrics.PSNR.labels(stage, step)
    if figure in SCORES:
        return metrics.IDENTITY.labels(figure)
    if figure in SEAM_ERRORS:
        return metrics.SEAM.labels(figure.removeprefix("seam_error_"))
    return metrics.LOSS.labels(stage, step, figure)
