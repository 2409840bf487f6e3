"""Line charts over frames: the geometry of an inline SVG, which the template draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log10

Values = Sequence[float | None]

WIDTH, HEIGHT = 520, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 26
MARGIN = 0.08
"""Empty share of the value axis above and below the lines."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis."""

    at: float
    """Pixels."""
    label: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One figure over the frames."""

    name: str
    runs: list[str]
    """SVG point lists; more than one where frames in between have no value."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What the template draws."""

    title: str
    note: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    reference: float | None
    """Pixels from the top of a dashed line at the ideal value."""


def line_chart(
    title: str,
    frames: Sequence[int],
    series: dict[str, Values],
    *,
    note: str = "",
    reference: float | None = None,
    floor_at: float | None = None,
) -> Chart:
    """Lays out a chart.

    Args:
        title: its heading.
        frames: frame numbers, one per value.
        series: values by name; None where a frame has none.
        note: a sentence under the heading.
        reference: a value to mark with a dashed line, for instance the ideal.
        floor_at: where the value axis starts; by default a little below the lowest value.
    """
    known = [value for values in series.values() for value in values if value is not None]
    known += [reference] if reference is not None else []
    low, high = _bounds(known or [0.0], floor_at)
    first, last = (min(frames), max(frames)) if frames else (0, 0)

    def x(frame: int) -> float:
        return LEFT + (frame - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    return Chart(
        title=title,
        note=note,
        lines=[Line(name=name, runs=_runs(frames, values, x, y)) for name, values in series.items()],
        x_ticks=[Tick(at=round(x(frame), 1), label=str(frame)) for frame in _frame_ticks(first, last)],
        y_ticks=[Tick(at=round(y(value), 1), label=f"{value:.{digits}f}") for value, digits in _ticks(low, high)],
        reference=None if reference is None else round(y(reference), 1),
    )


def _bounds(values: Sequence[float], floor_at: float | None) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = max(high - low, abs(high) * 0.01, 1e-6) * MARGIN
    return (low - margin if floor_at is None else min(floor_at, low)), high + margin


def _runs(frames: Sequence[int], values: Values, x: Callable[[int], float], y: Callable[[float], float]) -> list[str]:
    """Points of each unbroken run of neighbouring frames."""
    runs: list[list[str]] = []
    previous = None
    for frame, value in zip(frames, values, strict=True):
        if value is None:
            previous = None
            continue
        if previous is None or frame != previous + 1:
            runs.append([])
        runs[-1].append(f"{x(frame):.1f},{y(value):.1f}")
        previous = frame
    # A single point has no length; drawn twice, round line caps make it a dot.
    return [" ".join(run if len(run) > 1 else run * 2) for run in runs]


def _ticks(low: float, high: float, about: int = 4) -> list[tuple[float, int]]:
    """Round values between the bounds, with the decimals that tell them apart."""
    step = _round_step((high - low) / about)
    digits = max(0, -floor(log10(step)))
    count = range(floor(low / step), floor(high / step) + 1)
    return [(index * step, digits) for index in count if low <= index * step <= high]


def _frame_ticks(first: int, last: int) -> list[int]:
    step = max(1, round(_round_step((last - first) / 6))) if last > first else 1
    return list(range(-(-first // step) * step, last + 1, step))


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 5, 10 times a power of ten that is not below `rough`."""
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
