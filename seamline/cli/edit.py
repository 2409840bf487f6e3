"""One edit from file to file: upload, edit, download, figures, report."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamline.cli.progress import StageBars
from seamline.cli.session import Session
from seamline.cli.summary import summarize
from seamline.client import Client
from seamline.errors import SeamlineError
from seamline.report import frame_pairs, pick_frames, seam_crops, write_report
from seamline.storage import Store, fetch_object, put_object, read_object
from seamline.storage.reference import sha256_of
from seamline.v1.aligner_pb2 import AlignOptions, LandmarkBackend
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.media_pb2 import ArtifactRef
from seamline.v1.stitcher_pb2 import Blend, StitchOptions

WATCH_SECONDS = 0.5
"""Between looks at whether the services started here still run."""


@dataclass(frozen=True, kw_only=True)
class EditJob:
    """What to edit, how, and where to put it."""

    source: Path
    out: Path
    """The edited video; the figures go beside it, as .json."""
    report: Path
    edits: Mapping[str, float]
    bundle: str
    landmarks: LandmarkBackend.ValueType
    stitching: bool

    @property
    def figures(self) -> Path:
        """Where the figures go."""
        return self.out.with_suffix(".json")


async def edit_file(job: EditJob, session: Session, bars: StageBars) -> dict[str, Any]:
    """Runs the edit and writes video, figures and report.

    Returns:
        The figures, as in the JSON file.

    Raises:
        SeamlineError: what the editor raised.
        ServiceUnavailable: a service that was started for this edit has ended; what is finished is kept.
    """
    video = upload(session.store, job.source)
    result = await _edit(job, session, video, bars)
    scores = json.loads(read_object(session.store, result.scores.scores))
    figures = summarize(result, scores, job.edits)
    for path in (job.out, job.report):
        path.parent.mkdir(parents=True, exist_ok=True)
    fetch_object(session.store, result.edited, job.out)
    job.figures.write_text(json.dumps(figures, indent=2) + "\n")
    pairs = frame_pairs(job.source, job.out, pick_frames(scores["frames"]))
    seam = seam_crops(session.store, result.alignment, result.stitched, scores)
    write_report(job.report, figures, scores, pairs, seam)
    return figures


def upload(store: Store, path: Path) -> ArtifactRef:
    """Puts a video into the store under its digest, unless it is there."""
    digest = sha256_of(path)
    key = f"videos/{digest}/source{path.suffix.lower()}"
    if store.exists(key):
        return ArtifactRef(uri=store.uri(key), sha256=digest)
    return put_object(store, key, path)


async def _edit(job: EditJob, session: Session, video: ArtifactRef, bars: StageBars) -> EditVideoResult:
    """The editor's result; gives up once a service that was started for it has ended."""
    call = asyncio.create_task(_call(job, session, video, bars))
    try:
        # The editor waits for a stage that is gone, as another may take its place. Here nobody starts another.
        while not (await asyncio.wait([call], timeout=WATCH_SECONDS))[0]:
            session.check()
    finally:
        call.cancel()
    return await call


async def _call(job: EditJob, session: Session, video: ArtifactRef, bars: StageBars) -> EditVideoResult:
    async with Client(session.endpoint) as client:
        events = client.edit_video(
            video,
            job.edits,
            bundle=job.bundle,
            align=AlignOptions(landmarks=job.landmarks),
            stitch=StitchOptions(blend=Blend.BLEND_UNSPECIFIED if job.stitching else Blend.BLEND_FEATHER),
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, EditVideoResult):
                    return event
                bars.show(event)
    raise SeamlineError(f"the editor at {session.endpoint} gave no result; see its log")
