"""One edit from file to file: upload, edit, download, figures, report."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamline.cli.arguments import NamedEdits
from seamline.cli.call import result_of, upload
from seamline.cli.choices import Choices
from seamline.cli.progress import StageBars
from seamline.cli.session import Session
from seamline.cli.summary import summarize
from seamline.client import Client
from seamline.client.client import Video
from seamline.report import frame_pairs, pick_frames, seam_crops, write_report
from seamline.storage import fetch_object, read_object
from seamline.v1.editor_pb2 import EditVideoResult


@dataclass(frozen=True, kw_only=True)
class EditJob:
    """What to edit, how, and where to put it."""

    source: Path
    out: Path
    """The edited video; the figures go beside it, as .json."""
    report: Path
    variant: NamedEdits
    choices: Choices

    @property
    def figures(self) -> Path:
        """Where the figures go."""
        return self.out.with_suffix(".json")

    @property
    def files(self) -> list[Path]:
        """All that is written."""
        return [self.out, self.figures, self.report]


async def edit_file(job: EditJob, session: Session, bars: StageBars) -> dict[str, Any]:
    """Runs the edit and writes video, figures and report.

    Returns:
        The figures, as in the JSON file.

    Raises:
        SeamlineError: as `result_of`.
    """
    video, choices = upload(session.store, job.source), job.choices
    result: EditVideoResult = await result_of(
        session, bars, lambda client: edit_call(client, video, job.variant, choices)
    )
    return write_results(job, session, result)


def edit_call(
    client: Client, video: Video, variant: NamedEdits, choices: Choices, deliver_to: str = ""
) -> AsyncGenerator[Any, None]:
    """The call of the editor for one variant."""
    return client.edit_video(
        video,
        variant.edits,
        bundle=choices.bundle,
        align=choices.align_options(),
        invert=choices.invert_options(),
        stitch=choices.stitch_options(),
        inverted=choices.inverted,
        style=variant.style,
        deliver_to=deliver_to,
    )


def write_results(job: EditJob, session: Session, result: EditVideoResult) -> dict[str, Any]:
    """Writes what an edit gave: video, figures and report. Returns the figures."""
    scores = json.loads(read_object(session.store, result.scores.scores))
    figures = summarize(result, scores, job.variant, job.choices)
    for path in job.files:
        path.parent.mkdir(parents=True, exist_ok=True)
    fetch_object(session.store, result.edited, job.out)
    job.figures.write_text(json.dumps(figures, indent=2) + "\n")
    pairs = frame_pairs(job.source, job.out, pick_frames(scores["frames"]))
    seam = seam_crops(session.store, result.alignment, result.stitched, scores)
    write_report(job.report, figures, scores, pairs, seam)
    return figures
