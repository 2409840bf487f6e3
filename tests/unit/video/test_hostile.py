"""Files that are broken, lying or dangerous end in an error that says what to do."""

from pathlib import Path

import av
import numpy as np
import pytest

from seamline.errors import InvalidInput, SeamlineError, UnreadableVideo
from seamline.video import probe, read_frames, write_video
from tests.unit.video.films import film, number_of, picture, tone

SHORT_GROUPS = {"x264-params": "keyint=4:bframes=0", "crf": "10"}


def refused(path: Path) -> SeamlineError:
    """The one error with which every entrance refuses a file."""
    errors = []
    for use in (
        lambda: probe(path),
        lambda: next(read_frames(path)),
        lambda: write_video(path.parent / "out.mp4", [picture(0)], like=path),
    ):
        with pytest.raises(InvalidInput) as caught:
            use()
        errors.append(caught.value)
    assert len({str(error) for error in errors}) == 1
    assert not (path.parent / "out.mp4").exists()
    return errors[0]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def in_front(path: Path, **shape: object) -> bytes:
    """A video with its index in front, as a browser uploads it."""
    plain = film(path.with_name("plain.mp4"), **shape)  # type: ignore[arg-type]
    with av.open(str(plain)) as old, av.open(str(path), "w", options={"movflags": "+faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    return path.read_bytes()


def test_no_file(tmp_path: Path) -> None:
    assert "there is no file" in str(refused(tmp_path / "a.mp4"))


def test_an_empty_file(tmp_path: Path) -> None:
    error = refused(written(tmp_path / "a.mp4", b""))
    assert isinstance(error, UnreadableVideo)
    assert str(error) == "a.mp4 is empty; upload it again"


@pytest.mark.parametrize("data", [b"hello, I am a letter\n" * 200, bytes(5000), b"\x89PNG\r\n\x1a\n" + bytes(90)])
def test_something_else(tmp_path: Path, data: bytes) -> None:
    error = refused(written(tmp_path / "a.mp4", data))
    assert isinstance(error, UnreadableVideo)
    assert "not a video in a known format" in str(error)


def test_noise(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    assert isinstance(refused(written(tmp_path / "a.mp4", noise)), UnreadableVideo)


def test_an_upload_that_broke_off_before_the_index(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mp4", count=20).read_bytes()
    assert whole.index(b"mdat") < whole.index(b"moov")
    error = refused(written(tmp_path / "a.mp4", whole[: whole.index(b"moov") - 4]))
    assert isinstance(error, UnreadableVideo)
    assert "without its index (moov)" in str(error)
    assert "upload it whole" in str(error)


@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
def test_an_upload_that_broke_off_later_gives_what_is_there(tmp_path: Path, share: float) -> None:
    whole = in_front(tmp_path / "whole.mp4", count=30, options=SHORT_GROUPS)
    start = whole.index(b"mdat")
    path = written(tmp_path / "a.mp4", whole[: start + int((len(whole) - start) * share)])
    frames = list(read_frames(path))
    assert 3 < len(frames) < 30
    # The last one may be half a frame.
    assert [number_of(frame) for frame in frames[:-1]] == list(range(len(frames) - 1))
    assert probe(path).frame_count == len(frames)
    assert np.array_equal(next(read_frames(path, len(frames) - 2)), frames[-2])
    write_video(tmp_path / "b.mp4", frames, like=path)
    assert probe(tmp_path / "b.mp4").frame_count == len(frames)


def test_an_upload_that_broke_off_before_its_first_frame(tmp_path: Path) -> None:
    whole = in_front(tmp_path / "whole.mp4", count=5)
    error = refused(written(tmp_path / "a.mp4", whole[: whole.index(b"mdat") + 8]))
    assert isinstance(error, UnreadableVideo)
    assert "no frame of a.mp4 can be decoded" in str(error)


def test_damage_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", count=20, options=SHORT_GROUPS)
    with av.open(str(path)) as container:
        hit = [packet for packet in container.demux(video=0) if packet.size][10]
        position, size = hit.pos, hit.size
    data = bytearray(path.read_bytes())
    assert position is not None
    data[position : position + size] = b"\xff" * size
    error = refused(written(path, bytes(data)))
    assert isinstance(error, UnreadableVideo)
    assert "damaged at 0.400 s" in str(error)


@pytest.mark.parametrize("file", ["a.m4a", "a.mka"])
def test_sound_alone(tmp_path: Path, file: str) -> None:
    with av.open(str(tmp_path / file), "w") as target:
        stream = target.add_stream("aac", rate=44100, layout="stereo")
        for frame in tone(0.5, 44100):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    assert "holds no video, only audio" in str(refused(tmp_path / file))


def test_a_playlist_may_not_name_other_files(tmp_path: Path) -> None:
    secret = film(tmp_path / "secret.ts")
    concat = f"ffconcat version 1.0\nfile '{secret.name}'\n"
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.name}\n#EXT-X-ENDLIST\n"
    for text in (playlist, concat):
        path = written(tmp_path / "a.mp4", text.encode())
        assert isinstance(refused(path), UnreadableVideo)
    # Without our list of formats the last one opens, and shows the other file.
    with av.open(str(path)) as container:
        assert container.streams.video


@pytest.mark.parametrize("size", [(8208, 16), (16, 8208)])
def test_a_picture_beyond_all_measure(tmp_path: Path, size: tuple[int, int]) -> None:
    path = film(tmp_path / "a.mkv", count=1, size=size, codec="ffv1", options={})
    error = refused(path)
    assert not isinstance(error, UnreadableVideo)
    assert f"is {size[0]}x{size[1]} pixels; at most 8192 a side" in str(error)
    assert error.metadata["limit"] == "8192"


def test_a_picture_that_changes_its_size(tmp_path: Path) -> None:
    parts = [film(tmp_path / f"{width}.h264", count=3, size=(width, 48), options={"bf": "0"}) for width in (64, 96)]
    path = written(tmp_path / "a.h264", b"".join(part.read_bytes() for part in parts))
    error = refused(path)
    assert "changes from 64x48 to 96x48 at frame 3" in str(error)
    assert error.metadata["frame"] == "3"
