"""Edits videos through a Seamline editor, side by side.

    python backend.py --edit smile=2 [--edit age=-3] [--out DIRECTORY] in.mp4 other.mp4
    python backend.py --edit smile=2 --deliver-to 'https://videos.example/out.mp4?…' 'https://videos.example/in.mp4?…'

A file goes into the store that the services share (SEAMLINE_STORE). An https address, for instance a presigned one, is
fetched by the editor itself, which must allow its origin. SEAMLINE_EDITOR, SEAMLINE_TLS_CA, SEAMLINE_TLS_CERTIFICATE,
SEAMLINE_TLS_KEY and SEAMLINE_TOKEN say how to reach it. Exit status: 0 all done; 1 one failed, try again later; 2 one
was rejected; 130 interrupted.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from jobs import LATER, Job, Jobs

from seamline.client import Client
from seamline.errors import SeamlineError
from seamline.storage import Store, fetch_object, open_store, put_object
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.media_pb2 import ArtifactRef, Progress


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Edit videos through a Seamline editor.")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="file, or https address")
    parser.add_argument("--edit", action="append", required=True, metavar="NAME=STRENGTH", help="any number")
    parser.add_argument("--bundle", default="", help="if not the default one")
    parser.add_argument("--out", type=Path, help="directory for the edited videos; needs SEAMLINE_STORE")
    parser.add_argument(
        "--deliver-to", default="", metavar="ADDRESS", help="where the editor sends the video; one only"
    )
    given = parser.parse_args()
    if given.deliver_to and len(given.videos) > 1:
        parser.error("--deliver-to takes one video")
    return given


def job_of(video: str, given: argparse.Namespace, store: Store | None) -> Job:
    """A job for a file, which is put into the store, or for an address."""
    edits = {name: float(strength) for name, _, strength in (edit.partition("=") for edit in given.edit)}
    source: ArtifactRef | str = video
    if not video.startswith(("https://", "http://")):
        if store is None:
            raise SystemExit(f"{video} is a file: set SEAMLINE_STORE to the store that the services share")
        source = put_object(store, f"uploads/{Path(video).name}", Path(video))
    # What follows the question mark of a presigned address is a secret, and not for logs.
    name = video.partition("?")[0]
    return Job(name=name, video=source, edits=edits, bundle=given.bundle, deliver_to=given.deliver_to)


def show(job: Job, progress: Progress) -> None:
    figures = "".join(f" {name} {value:.3f}" for name, value in progress.figures.items())
    print(f"{job.name}: {progress.stage} {progress.step} {progress.done}/{progress.total}{figures}", file=sys.stderr)


async def finished(jobs: Jobs, job: Job) -> EditVideoResult | SeamlineError:
    try:
        return await jobs.submit(job)
    except SeamlineError as error:
        return error


def report(job: Job, outcome: EditVideoResult | SeamlineError) -> int:
    """Prints one line of JSON; the exit status of this job."""
    if isinstance(outcome, SeamlineError):
        later = isinstance(outcome, LATER)
        said = {"error": type(outcome).__name__, "field": outcome.field, "message": str(outcome), "again": later}
        print(json.dumps({"video": job.name, **said}))
        return 1 if later else 2
    edited = {"uri": outcome.edited.uri, "sha256": outcome.edited.sha256}
    print(json.dumps({"video": job.name, "edited": edited, "tl_id": outcome.scores.tl_id}))
    return 0


async def run(given: argparse.Namespace) -> int:
    url = os.environ.get("SEAMLINE_STORE")
    store = open_store(url) if url else None
    async with Client(os.environ["SEAMLINE_EDITOR"]) as client:
        jobs = Jobs(client, on_progress=show)
        # Hashing and sending a file takes a while: not on the loop that serves calls.
        orders = [await asyncio.to_thread(job_of, video, given, store) for video in given.videos]
        outcomes = await asyncio.gather(*(finished(jobs, job) for job in orders))
    if given.out and store:
        given.out.mkdir(parents=True, exist_ok=True)
        for job, outcome in zip(orders, outcomes, strict=True):
            if isinstance(outcome, EditVideoResult):
                fetch_object(store, outcome.edited, given.out / Path(job.name).name)
    return max(report(job, outcome) for job, outcome in zip(orders, outcomes, strict=True))


def main() -> int:
    try:
        return asyncio.run(run(arguments()))
    except SeamlineError as error:  # the settings, or the upload
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the services have stopped, and what is finished is kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
