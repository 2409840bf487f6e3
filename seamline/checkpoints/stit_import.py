"""A finished run of Stitch it in Time as an alignment and an inversion, from which editing goes on."""

import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamline.alignment import TIMES, Range, crops_part, encode_times, frames_part, stored_ranges, track_part
from seamline.bundles import Bundle
from seamline.checkpoints.stit_run import StitRun, check_fits
from seamline.errors import InvalidInput, NotFound
from seamline.geometry import crop
from seamline.inversion import encode_generator, encode_pivots, generator_part, pivots_part
from seamline.job import Job
from seamline.networks import Generator
from seamline.storage import ArtifactWriter, Recipe, Store, encode_frames
from seamline.storage.reference import sha256_of
from seamline.tuning import to_images
from seamline.v1.media_pb2 import ArtifactRef
from seamline.video import VideoFacts, probe, read_frames
from seamline.video.index import index_video
from seamline.video.pictures import pictures_in, read_pictures, write_pictures
from seamline.video.pixels import Rgb

VERSION = 1
MEASURED = 8
"""Crops, evenly over the run, by which the generator is judged."""
TRACK = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """The frames that a run was made from."""

    video: Path
    """The whole video, or one that was made of the frames."""
    facts: VideoFacts
    start: int
    """The first frame of the video that the run used."""
    frames: Callable[[], Iterator[Rgb]]
    """All frames of the video, as the run saw them."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import made."""

    alignment: ArtifactRef
    inversion: ArtifactRef
    pivot_psnr_db: float
    """Of some crops, drawn by the bundle's generator from the codes."""
    psnr_db: float
    """Of the same, drawn by the tuned one."""


def find_source(run: StitRun, given: Path | None, start: int | None, made: Path, fps: Fraction) -> Source:
    """Find the frames that a run was made from.

    Args:
        run: Which knows where it had them from, if its options were found.
        given: The video, or the folder of its frames; in place of that.
        start: The first frame that the run used; if None, what its options say.
        made: Where a video is written that is made of a folder's frames.
        fps: How fast that plays; Stitch it in Time's videos have 25 frames a second.

    Raises:
        NotFound: The frames are not there.
        InvalidInput: They are not as many as the run's, or cannot be read.
    """
    place, start = given or run.frames_folder, run.start if start is None else start
    if place is None or not place.exists():
        raise NotFound(
            f"{place or run.path}: the frames that the run was made from are not there; "
            "name the video, or the folder of its frames, with --video",
            field="--video",
        )
    count = len(run.quads)
    if place.is_dir():
        found = pictures_in(place)
        _check_count(place, len(found), count, start)
        paths = found[start or 0 : (start or 0) + count]
        write_pictures(made, paths, fps)
        return Source(video=made, facts=probe(made), start=0, frames=partial(read_pictures, paths))
    facts = probe(place)
    _check_count(place, facts.frame_count, count, start)
    return Source(video=place, facts=facts, start=start or 0, frames=partial(read_frames, place))


def _check_count(place: Path, found: int, wanted: int, start: int | None) -> None:
    if (start is None and found != wanted) or (start is not None and found < start + wanted):
        raise InvalidInput(
            f"{place}: has {found} frames, the run was made from {wanted}{f' from frame {start} on' if start else ''}; "
            "name the source that it was made from with --video, and its first frame with --start-frame",
            field="--video",
        )


def import_run(job: Job, store: Store, bundle: Bundle, run: StitRun, source: Source) -> Imported:
    """Write a run as an alignment and an inversion.

    Crops are cut again where the run's quads say. There are no landmarks, which only Poisson blending needs.

    Args:
        job: Progress and timing.
        store: Where the artifacts go.
        bundle: Whose generator the run was tuned from.
        run: As read.
        source: Its frames.

    Raises:
        InvalidInput: The run was made with another generator than the bundle's, or a frame cannot be read.
    """
    original, tuned = bundle.generator().eval(), bundle.generator().eval()
    check_fits(run, original.state_dict(), bundle.name)
    tuned.load_state_dict({name: tensor.to(bundle.device) for name, tensor in run.tensors.items()})
    inputs = {"video": sha256_of(source.video), "bundle": bundle.digest, "stit_run": sha256_of(run.path)}
    writer = ArtifactWriter(store, _recipe("align", inputs, source))
    with job.step("crop", total=source.facts.frame_count) as step:
        crops = _write_frames(writer, run, source, bundle.resolution, step.advance)
    alignment = _finish_alignment(writer, run, source, bundle, inputs["video"])
    with job.step("measure"):
        pivot_psnr_db, psnr_db = (_psnr_db(drawing, run.pivots, crops) for drawing in (original, tuned))
    figures = {"pivot_psnr_db": pivot_psnr_db, "psnr_db": psnr_db, "passes": run.passes}
    writer = ArtifactWriter(store, _recipe("invert", inputs, source))
    writer.put_part(pivots_part(TRACK), encode_pivots(_numbers(run, source), run.pivots))
    writer.put_part(generator_part(TRACK), encode_generator(tuned, exact=True))
    meta = {
        "alignment_sha256": alignment.sha256,
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "tracks": [{"id": TRACK, "frames": len(run.quads)} | figures],
    }
    inversion = writer.finish(meta, [pivots_part(TRACK), generator_part(TRACK)])
    return Imported(alignment=alignment, inversion=inversion, pivot_psnr_db=pivot_psnr_db, psnr_db=psnr_db)


def _recipe(stage: str, inputs: dict[str, str], source: Source) -> Recipe:
    parameters = {"imported": "stit", "start": source.start}
    return Recipe(video=inputs["video"], stage=stage, version=VERSION, inputs=inputs, parameters=parameters)


def _numbers(run: StitRun, source: Source) -> NDArray[np.int32]:
    """The run's frames, as the video counts them."""
    return np.arange(source.start, source.start + len(run.quads), dtype=np.int32)


def _write_frames(
    writer: ArtifactWriter, run: StitRun, source: Source, size: int, advance: Callable[[int], None]
) -> dict[int, Rgb]:
    """Write the parts with frames and crops; returns the crops to be measured, by their place in the run."""
    last = len(run.quads) - 1
    measured = {int(place) for place in np.linspace(0, last, min(MEASURED, last + 1))}
    kept: dict[int, Rgb] = {}
    frames = source.frames()
    for stored in _ranges(source.facts):
        pixels = list(islice(frames, stored[1] - stored[0]))
        writer.put_part(frames_part(stored), encode_frames(np.stack(pixels)))
        places = range(max(stored[0] - source.start, 0), min(stored[1] - source.start, last + 1))
        crops = [crop(pixels[source.start + place - stored[0]], run.quads[place], size) for place in places]
        if crops:
            writer.put_part(crops_part(TRACK, stored), encode_frames(np.stack(crops)))
        kept |= {place: cut for place, cut in zip(places, crops, strict=True) if place in measured}
        advance(len(pixels))
    return kept


def _ranges(facts: VideoFacts) -> list[Range]:
    return stored_ranges(facts.frame_count, facts.width, facts.height)


def _finish_alignment(
    writer: ArtifactWriter, run: StitRun, source: Source, bundle: Bundle, video_sha256: str
) -> ArtifactRef:
    numbers, count = _numbers(run, source), len(run.quads)
    writer.put_part(TIMES, encode_times(index_video(source.video).seconds))
    file = io.BytesIO()
    landmarks = np.full((count, 68, 2), np.nan, np.float32)
    np.savez_compressed(file, frames=numbers, quads=run.quads, landmarks=landmarks, detected=np.ones(count, bool))
    writer.put_part(track_part(TRACK), file.getvalue())
    start, end = int(numbers[0]), int(numbers[-1]) + 1
    meta: dict[str, Any] = {
        "video": {"sha256": video_sha256, **asdict(source.facts)},
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "crop_size": bundle.resolution,
        "ranges": [list(stored) for stored in _ranges(source.facts)],
        "tracks": [{"id": TRACK, "start": start, "end": end, "visible_frames": count}],
    }
    return writer.finish(meta)


@torch.no_grad()
def _psnr_db(generator: Generator, pivots: Tensor, crops: dict[int, Rgb]) -> float:
    """Mean over crops, by their place in the run; images span 2."""
    device = next(generator.parameters()).device
    errors = [
        (generator.synthesis(pivots[[place]].to(device)) - to_images(pixels[None], device)).square().mean()
        for place, pixels in crops.items()
    ]
    return float((10 * torch.log10(4 / torch.stack(errors).clamp_min(1e-10))).mean())
