import pytest

from seamline.cli.arguments import Landmarks, cache_directory, check_files, parse_edits
from seamline.errors import InvalidInput
from seamline.v1 import aligner_pb2


def test_reads_edits_in_order():
    assert parse_edits(["smile=+2", "age=-1.5", "yaw=0"]) == {"smile": 2.0, "age": -1.5, "yaw": 0.0}


@pytest.mark.parametrize("text", ["smile", "smile=", "=2", "smile=much", "smile=nan", "smile=inf", "smile=1=2", ""])
def test_refuses_what_is_no_edit(text):
    with pytest.raises(InvalidInput, match=r"smile=\+2") as error:
        parse_edits([text])
    assert error.value.field == "--edit"


def test_refuses_an_edit_given_twice():
    with pytest.raises(InvalidInput, match="twice"):
        parse_edits(["smile=1", "smile=2"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (Landmarks.BUNDLE, aligner_pb2.LANDMARK_BACKEND_BUNDLE),
        (Landmarks.DLIB, aligner_pb2.LANDMARK_BACKEND_DLIB),
        (Landmarks.FACE_ALIGNMENT, aligner_pb2.LANDMARK_BACKEND_FACE_ALIGNMENT),
    ],
)
def test_every_backend_has_its_message(name, value):
    assert name.to_proto() == value


class TestFiles:
    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "in.mp4"
        path.write_bytes(b"video")
        return path

    def test_accepts_new_files_in_new_directories(self, source, tmp_path):
        check_files(source, [tmp_path / "new" / "out.mp4", tmp_path / "new" / "out.json"])

    def test_refuses_a_missing_source(self, tmp_path):
        with pytest.raises(InvalidInput, match="no file"):
            check_files(tmp_path / "missing.mp4", [])

    def test_never_writes_over_the_source(self, source, tmp_path):
        link = tmp_path / "link.mp4"
        link.symlink_to(source)
        for path in (source, link, tmp_path / "." / "in.mp4"):
            with pytest.raises(InvalidInput, match="source itself"):
                check_files(source, [path])

    def test_refuses_a_directory(self, source, tmp_path):
        with pytest.raises(InvalidInput, match="directory"):
            check_files(source, [tmp_path])

    def test_refuses_one_name_for_two_outputs(self, source, tmp_path):
        with pytest.raises(InvalidInput, match="different file names"):
            check_files(source, [tmp_path / "out.html", tmp_path / "out.html"])


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("SEAMLINE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "seamline"
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
