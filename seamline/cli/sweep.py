"""Several videos from one: the same edit at several strengths, and a page that shows them side by side."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from seamline.cli.arguments import NamedEdits
from seamline.cli.choices import Choices
from seamline.cli.edit import EditJob, edit_file
from seamline.cli.progress import StageBars
from seamline.cli.session import Session
from seamline.report import Shown, write_comparison

INDEX = "index.html"


def sweep_jobs(source: Path, directory: Path, variants: Sequence[NamedEdits], choices: Choices) -> list[EditJob]:
    """One job for every variant: <directory>/<name>.mp4 and what goes beside it."""
    return [
        EditJob(
            source=source,
            out=directory / f"{variant.name}.mp4",
            report=directory / f"{variant.name}.html",
            variant=variant,
            choices=choices,
        )
        for variant in variants
    ]


def sweep_files(jobs: Sequence[EditJob], session: Session, console: Console) -> Path:
    """Makes every video; the first of them aligns and inverts for all. Returns the page with all of them.

    Raises:
        SeamlineError: as `edit_file`; the videos made so far stay.
    """
    shown: list[Shown] = []
    for number, job in enumerate(jobs, start=1):
        console.print(f"{number} of {len(jobs)}: {escape(job.variant.name)}")
        with StageBars(console) as bars:
            figures = asyncio.run(edit_file(job, session, bars))
        shown.append(Shown(name=job.variant.name, video=job.out, figures=figures))
    index = jobs[0].out.parent / INDEX
    write_comparison(index, jobs[0].source, shown, title=f"{jobs[0].source.name}, {len(jobs)} strengths")
    return index
