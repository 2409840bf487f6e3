"""Several edits of one video side by side: a picture and the figures of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamline.report.page import edits_title
from seamline.report.pictures import frame_pairs
from seamline.report.templates import render


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One edited video."""

    name: str
    video: Path
    """Beside the page, or below it; its report lies beside it as .html."""
    figures: Mapping[str, Any]
    """As docs/calling.md lists them."""
    seconds: float | None = None
    """What it took; None for the sum of its call's stages."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Figures that somebody else reports."""

    name: str
    note: str
    """What to mind when comparing."""
    tl_id: float
    tg_id: float


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure."""

    text: str
    share: float | None = None
    """Length of its bar, in percent of the column's longest; None for no bar."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One edited video, or a reference."""

    name: str
    cells: list[Cell]
    link: str = ""
    note: str = ""


HEADINGS = ("TL-ID", "TG-ID", "inversion, dB", "border error", "effect", "seconds")


def write_comparison(
    path: Path, source: Path, shown: Sequence[Shown], *, title: str, note: str = "", reference: Reference | None = None
) -> None:
    """Writes the page.

    Args:
        path: the HTML file.
        source: the video that was edited.
        shown: its edits, in the order of the page.
        title: the heading.
        note: a sentence under it.
        reference: a row below those of the edits.
    """
    middle = shown[0].figures["frames"] // 2
    pairs = [frame_pairs(source, each.video, [middle])[0] for each in shown]
    links = [each.video.absolute().relative_to(path.absolute().parent).as_posix() for each in shown]
    pictures = [("source", pairs[0].source, "")]
    pictures += [(each.name, pair.edited, link) for each, pair, link in zip(shown, pairs, links, strict=True)]
    page = render(
        "comparison.html.j2",
        title=title,
        note=note,
        frame=middle,
        pictures=pictures,
        headings=HEADINGS,
        rows=[*_rows(shown, links), *([_reference_row(reference)] if reference else [])],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _rows(shown: Sequence[Shown], links: Sequence[str]) -> list[Row]:
    figures = [_figures(each) for each in shown]
    # A bar shows how far a figure is from its ideal: 1 for the identities, 0 for border and time.
    distances = [f | {name: abs(1 - f[name]) for name in ("TL-ID", "TG-ID")} for f in figures]
    longest = {name: max(d[name] for d in distances) or 1.0 for name in ("TL-ID", "TG-ID", "border error", "seconds")}
    return [
        Row(
            name=each.name,
            cells=[
                Cell(
                    text=_text(heading, values[heading]),
                    share=100 * distance[heading] / longest[heading] if heading in longest else None,
                )
                for heading in HEADINGS
            ],
            link=link.rpartition(".")[0] + ".html",
            note=edits_title(each.figures),
        )
        for each, values, distance, link in zip(shown, figures, distances, links, strict=True)
    ]


def _figures(shown: Shown) -> dict[str, Any]:
    figures = shown.figures
    seconds = sum(figures["stage_seconds"].values()) if shown.seconds is None else shown.seconds
    values = (
        figures["tl_id"],
        figures["tg_id"],
        figures["inversion_psnr_db"],
        figures["seam_error"]["stitched"],
        figures["edit_effect"],
        seconds,
    )
    return dict(zip(HEADINGS, values, strict=True))


def _text(heading: str, value: float | None) -> str:
    if value is None:
        return "-"
    formats = {"inversion, dB": ".1f", "border error": ".4f", "effect": "+.2f", "seconds": ".1f"}
    return format(value, formats.get(heading, ".3f"))


def _reference_row(reference: Reference) -> Row:
    known = {"TL-ID": reference.tl_id, "TG-ID": reference.tg_id}
    cells = [Cell(text=_text(heading, known.get(heading))) for heading in HEADINGS]
    return Row(name=reference.name, cells=cells, note=reference.note)
