import io
import itertools
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from seamline_aligner.align import AlignOptions, align
from seamline_aligner.ranges import MOST_BYTES, ranges_of

from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.errors import Cancelled, DigestMismatch, InvalidInput, NoFace, NotFound, UnreadableVideo
from seamline.job import Job
from seamline.storage import Artifact, Store, decode_frames, encode_frames, open_store, put_object
from seamline.v1.media_pb2 import ArtifactRef
from seamline.video import Limits, VideoFacts
from tests.fakes.bundle import tiny_bundle
from tests.fakes.painted_faces import BreaksOffBackend, PaintedFaceBackend, film, picture
from tests.fakes.stores import PassingStore

OPTIONS = AlignOptions(landmarks="bundle", max_gap_frames=5)
FIRST = [picture((20 + number, 30, 40)) for number in range(40)]
GAP = [picture() for _ in range(8)]
SECOND = [picture((60, 30 + number, 36), scene=1) for number in range(22)]
FILM = film(FIRST[:20], GAP[:4], FIRST[20:], GAP, SECOND)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def stored(store: Store, frames: NDArray[np.uint8] = FILM) -> ArtifactRef:
    """A lossless video in the store."""
    return put_object(store, "videos/film.mkv", encode_frames(frames))


def aligned(store: Store, bundle: Bundle, video: ArtifactRef, job: Job | None = None) -> Artifact:
    return align(job or Job("align"), store, video, bundle, OPTIONS, PaintedFaceBackend)


def test_an_alignment_holds_what_the_other_stages_need(store: Store, bundle: Bundle) -> None:
    alignment = aligned(store, bundle, stored(store))
    assert alignment.meta["ranges"] == [[0, 37], [37, 74]]
    assert alignment.meta["tracks"] == [
        {"id": 0, "start": 0, "end": 44, "visible_frames": 44},
        {"id": 1, "start": 52, "end": 74, "visible_frames": 22},
    ]
    assert alignment.meta["video"]["frame_count"] == len(FILM)
    assert (alignment.meta["bundle"], alignment.meta["crop_size"]) == (bundle.name, bundle.resolution)
    assert sorted(alignment.parts) == [
        *("crops-0-000000-000037", "crops-0-000037-000074", "crops-1-000037-000074"),
        *("frames-000000-000037", "frames-000037-000074"),
        "times.npy",
        *("track-0.npz", "track-1.npz"),
    ]
    frames = [decode_frames(alignment.read_part(f"frames-{span}")) for span in spans(alignment)]
    np.testing.assert_array_equal(np.concatenate(frames), FILM)


def spans(alignment: Artifact) -> list[str]:
    return [f"{start:06d}-{end:06d}" for start, end in alignment.meta["ranges"]]


def test_tracks_and_crops_show_the_face(store: Store, bundle: Bundle) -> None:
    alignment = aligned(store, bundle, stored(store))
    with np.load(io.BytesIO(alignment.read_part("track-0.npz"))) as track:
        assert track["frames"].tolist() == list(range(44))
        assert track["detected"].tolist() == [not 20 <= frame < 24 for frame in range(44)]
        assert (track["frames"].dtype, track["quads"].dtype) == (np.int32, np.float64)
        assert (track["landmarks"].shape, track["landmarks"].dtype) == ((44, 68, 2), np.float32)
        assert (track["quads"].shape, track["detected"].dtype) == ((44, 4, 2), np.bool_)
    crops = decode_frames(alignment.read_part("crops-0-000000-000037"))
    assert crops.shape == (37, bundle.resolution, bundle.resolution, 3)
    side = bundle.resolution
    middle, corner = crops[:20, side // 2, side // 2].astype(int), crops[:20, 1, side - 2].astype(int)
    assert np.abs(middle - (220, 30, 30)).max() <= 2
    assert np.abs(corner - (40, 60, 90)).max() <= 2
    assert decode_frames(alignment.read_part("crops-0-000037-000074")).shape[0] == 7


def test_a_repeated_call_does_nothing_again(store: Store, bundle: Bundle) -> None:
    video = stored(store)
    first = aligned(store, bundle, video)

    def never() -> PaintedFaceBackend:
        raise AssertionError("the alignment exists")

    assert align(Job("align"), store, video, bundle, OPTIONS, never).ref == first.ref


def test_a_broken_call_goes_on_where_it_stopped(store: Store, tmp_path: Path, bundle: Bundle) -> None:
    video = stored(store)
    with pytest.raises(KeyboardInterrupt):
        align(Job("align"), store, video, bundle, OPTIONS, lambda: BreaksOffBackend(50))
    backend = PaintedFaceBackend()
    resumed = align(Job("align"), store, video, bundle, OPTIONS, lambda: backend)
    assert 0 < len(backend.searched) <= len(FILM) - 37 + 8  # the first range was done; lost faces take two searches
    other = open_store(f"file://{tmp_path}/other")
    assert aligned(other, bundle, stored(other)).ref.sha256 == resumed.ref.sha256


def test_options_and_bundle_determine_the_alignment(store: Store, tmp_path: Path, bundle: Bundle) -> None:
    video = stored(store, FILM[:6])
    one = aligned(store, bundle, video)
    smoother = align(Job("align"), store, video, bundle, replace(OPTIONS, axes_sigma=9.0), PaintedFaceBackend)
    assert smoother.ref.uri != one.ref.uri
    retrained = tiny_bundle(tmp_path, seed=1)
    assert aligned(store, retrained, video).ref.uri != one.ref.uri


def test_a_video_without_a_face_is_refused_with_a_remedy(store: Store, bundle: Bundle) -> None:
    video = stored(store, film(GAP))
    with pytest.raises(NoFace, match=r"8 frames searched.*options\.landmarks") as caught:
        aligned(store, bundle, video)
    assert caught.value.metadata["uri"] == video.uri


def test_bytes_that_are_no_video_are_named(store: Store, bundle: Bundle) -> None:
    video = put_object(store, "videos/holiday.mp4", b"no video at all")
    with pytest.raises(UnreadableVideo, match=r"holiday\.mp4") as caught:
        aligned(store, bundle, video)
    assert caught.value.field == "video"


def test_a_wrong_reference_is_refused(store: Store, bundle: Bundle) -> None:
    video = stored(store, FILM[:3])
    with pytest.raises(NotFound):
        aligned(store, bundle, ArtifactRef(uri=store.uri("videos/gone.mp4"), sha256="0" * 64))
    with pytest.raises(DigestMismatch):
        aligned(store, bundle, ArtifactRef(uri=video.uri, sha256="0" * 64))
    with pytest.raises(InvalidInput):
        aligned(store, bundle, ArtifactRef(uri="s3://elsewhere/film.mp4", sha256=video.sha256))


def test_a_video_that_is_too_large_is_not_even_fetched(store: Store, bundle: Bundle) -> None:
    video = stored(store)
    counting = PassingStore(store)
    with pytest.raises(InvalidInput, match="SEAMLINE_MAX_VIDEO_BYTES"):
        align(Job("align"), counting, video, bundle, OPTIONS, PaintedFaceBackend, Limits(bytes=1000))
    assert counting.calls["get_file"] == 0


def test_a_cancelled_call_stops_within_a_frame(store: Store, bundle: Bundle) -> None:
    cancelled, seen = threading.Event(), PaintedFaceBackend()
    job = Job("align", on_progress=lambda p: cancelled.set() if p.step == "observe" else None, cancelled=cancelled)
    with pytest.raises(Cancelled):
        align(job, store, stored(store), bundle, OPTIONS, lambda: seen)
    assert len(seen.searched) <= 1


def test_larger_pictures_have_shorter_ranges() -> None:
    facts = VideoFacts(width=3840, height=2160, frame_count=100, fps=25.0, duration_seconds=4.0, has_audio=False)
    ranges = ranges_of(facts)
    lengths = {end - start for start, end in ranges}
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 100
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(ranges))
    assert max(lengths) <= MOST_BYTES // (3840 * 2160 * 3)
    assert max(lengths) - min(lengths) <= 1


def test_frames_have_the_moments_of_an_uneven_video(store: Store, tmp_path: Path, bundle: Bundle) -> None:
    moments = [0.0, 0.1, 0.2, 0.7, 0.8]
    path = tmp_path / "uneven.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = FILM.shape[2], FILM.shape[1], "yuv444p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for moment, pixels in zip(moments, FILM, strict=False):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))
            frame.pts, frame.time_base = round(moment * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    alignment = Alignment(aligned(store, bundle, put_object(store, "uneven.mkv", path)))
    np.testing.assert_allclose(alignment.seconds([0, 1, 2, 3, 4]), moments)
    np.testing.assert_allclose(alignment.seconds(np.array([3, 1], np.int32)), [0.7, 0.1])
