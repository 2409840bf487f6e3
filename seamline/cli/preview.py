"""A contact sheet of what some edits would look like."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamline.cli.arguments import AskedEdits
from seamline.cli.call import result_of, upload
from seamline.cli.choices import Choices
from seamline.cli.progress import StageBars
from seamline.cli.session import Session
from seamline.client import Client
from seamline.client.client import Video
from seamline.storage import fetch_object
from seamline.v1.editor_pb2 import PreviewVideoResult


@dataclass(frozen=True, kw_only=True)
class PreviewJob:
    """What to show, and where to put the sheet."""

    source: Path
    out: Path
    """A PNG."""
    asked: AskedEdits
    """A column for every variant."""
    frames: int
    """Rows."""
    choices: Choices


async def preview_file(job: PreviewJob, session: Session, bars: StageBars) -> PreviewVideoResult:
    """Draws the sheet and writes it.

    Raises:
        SeamlineError: as `result_of`.
    """
    video, choices = upload(session.store, job.source), job.choices
    result: PreviewVideoResult = await result_of(
        session, bars, lambda client: preview_call(client, video, job.asked, job.frames, choices)
    )
    job.out.parent.mkdir(parents=True, exist_ok=True)
    fetch_object(session.store, result.sheet, job.out)
    return result


def preview_call(
    client: Client, video: Video, asked: AskedEdits, frames: int, choices: Choices, deliver_to: str = ""
) -> AsyncGenerator[Any, None]:
    """The call of the editor for a sheet."""
    return client.preview_video(
        video,
        [variant.edits for variant in asked.variants()],
        frame_count=frames,
        bundle=choices.bundle,
        align=choices.align_options(),
        invert=choices.invert_options(),
        inverted=choices.inverted,
        style=asked.style,
        deliver_to=deliver_to,
    )
