"""`seamline erase` and `seamline gc` on a store in a directory, as a shell sees them."""

import os
import re
import signal
import time
from datetime import timedelta

import pytest

from seamline.cli import app as cli
from seamline.cli.gc import parse_age
from seamline.errors import InvalidInput
from seamline.storage import ArtifactWriter, Recipe, open_store, put_object
from seamline.storage.layout import source_key
from seamline.storage.reference import sha256_of

FACE, OTHER = b"a face", b"another face"


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs `seamline ...`; returns (status, stdout, stderr with its line breaks undone)."""
    for name in ("EDITOR", "STORE"):
        monkeypatch.delenv(f"SEAMLINE_{name}", raising=False)
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["seamline", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, " ".join(err.split())

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def store(tmp_path):
    """The one that is used when none is named."""
    return open_store((tmp_path / "cache" / "store").as_uri())


def edited(store, data):
    """A video and an artifact of it: 4 objects."""
    video = put_object(store, source_key(sha256_of(data), ".mp4"), data)
    writer = ArtifactWriter(store, Recipe(video=video.sha256, stage="align", version=1, inputs={}))
    writer.put_part("frames", data)
    writer.finish({})
    return video


def videos(store):
    return {entry.key.split("/")[1] for entry in store.list("")}


def age(tmp_path, digest, days):
    moment = time.time() - days * 86400
    for path in (tmp_path / "cache" / "store").rglob("*"):
        if digest in path.as_posix() and path.is_file():
            os.utime(path, (moment, moment))


@pytest.mark.parametrize("by", ["file", "digest", "DIGEST"])
def test_erases_a_video_by_its_file_or_its_digest(command, store, tmp_path, by):
    (tmp_path / "face.mp4").write_bytes(FACE)
    face, other = edited(store, FACE), edited(store, OTHER)
    named = {"file": tmp_path / "face.mp4", "digest": face.sha256, "DIGEST": face.sha256.upper()}[by]
    status, out, _ = command("erase", named)
    assert (status, out.startswith("removed 4 objects, ")) == (0, True)
    assert videos(store) == {other.sha256}
    assert (tmp_path / "face.mp4").exists()
    assert command("erase", named)[:2] == (0, "removed 0 objects, 0 bytes\n")


def test_keeps_the_source_if_asked_to(command, store):
    face = edited(store, FACE)
    assert command("erase", face.sha256, "--keep-source")[0] == 0
    assert [entry.key for entry in store.list("")] == [source_key(face.sha256, ".mp4")]


def test_a_source_elsewhere_is_named(command, store, tmp_path):
    url = (tmp_path / "elsewhere").as_uri()
    face = put_object(open_store(url), "uploads/7", FACE)
    status, out, _ = command("erase", face.sha256, "--store", url, "--source", face.uri)
    assert (status, out) == (0, "removed 1 objects, 6 bytes\n")
    status, _, err = command("erase", sha256_of(OTHER), "--source", face.uri)
    assert status == 2
    assert "is not in the store" in err


def test_what_names_no_video_is_wrong_input(command, tmp_path):
    status, _, err = command("erase", tmp_path / "gone.mp4")
    assert status == 2
    assert "gone.mp4: is neither a file nor the SHA-256 of one" in err


def test_an_editor_that_is_not_there_is_named(command):
    status, _, err = command("erase", "0" * 64, "--editor", "127.0.0.1:1")
    assert status == 1
    assert "127.0.0.1:1" in err


def test_collects_what_is_old(command, store, tmp_path):
    face, other = edited(store, FACE), edited(store, OTHER)
    age(tmp_path, face.sha256, days=31)
    status, out, _ = command("gc", "--older-than", "30d", "--dry-run")
    assert status == 0
    assert re.search(rf"{face.sha256} +\d{{4}}-\d\d-\d\d \d\d:\d\d +4 ", out)
    assert other.sha256 not in out
    assert "would remove 4 objects" in out
    assert videos(store) == {face.sha256, other.sha256}
    status, out, _ = command("gc", "--older-than", "30d")
    assert (status, "\nremoved 4 objects" in out) == (0, True)
    assert videos(store) == {other.sha256}
    assert command("gc", "--older-than", "30d")[:2] == (0, "removed 0 objects, 0 bytes\n")


def test_collects_what_was_never_finished(command, store, tmp_path):
    half = tmp_path / "cache" / "store" / "artifacts" / "0f" / ".half.unfinished"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    age(tmp_path, "half", days=31)
    assert command("gc", "--older-than", "30d")[1] == "removed 0 objects, 0 bytes, and 1 unfinished uploads\n"
    assert not half.exists()


def test_sources_can_be_kept(command, store, tmp_path):
    face = edited(store, FACE)
    age(tmp_path, face.sha256, days=31)
    assert command("gc", "--older-than", "4w", "--keep-sources")[0] == 0
    assert [entry.key for entry in store.list("")] == [source_key(face.sha256, ".mp4")]


@pytest.mark.parametrize(
    ("text", "age"), [("1h", timedelta(hours=1)), ("30d", timedelta(days=30)), ("8w", timedelta(56))]
)
def test_ages(text, age):
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5d", "30 d", "30m", "999999d"])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(InvalidInput, match="12h, 30d, 8w"):
        parse_age(text)


def test_an_age_must_be_given(command):
    status, _, err = command("gc")
    assert status == 2
    assert "--older-than" in err
