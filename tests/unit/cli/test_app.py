"""What the command says and how it ends, as a shell sees it; no service is started."""

import signal
from functools import partial

import pytest

from seamline.cli import app as cli
from seamline.client import Client, Retry
from seamline.storage import open_store
from tests.fakes.bundle import tiny_bundle
from tests.unit.video.films import film


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundles")
    tiny_bundle(directory)
    return directory


@pytest.fixture
def command(monkeypatch, tmp_path, bundles, capsys):
    """Runs `seamline ...`; returns (status, stdout, stderr with its line breaks undone)."""
    for name in ("EDITOR", "STORE"):
        monkeypatch.delenv(f"SEAMLINE_{name}", raising=False)
    monkeypatch.setenv("SEAMLINE_BUNDLES", str(bundles))
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path / "cache"))

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
def clip(tmp_path):
    return film(tmp_path / "clip.mp4", count=2)


def test_lists_the_edits_of_a_bundle(command):
    status, out, _ = command("edits", "--bundle", "tiny-64")
    assert status == 0
    assert "smile" in out
    assert "-2 to +4" in out
    assert "Look older" in out


def test_says_what_else_a_bundle_can_do(command, tmp_path):
    _, out, _ = command("edits", "--bundle", "tiny-64")
    assert ":lt" in out
    assert "styles by text: yes" in out
    assert "edits by text: no" in out  # it has a CLIP, but nobody measured its channels
    assert "inversions: pti, hyperstyle, e4e" in out


def test_draws_every_edit_on_a_page_that_needs_no_network(command, tmp_path):
    page = tmp_path / "new" / "edits.html"
    status, out, _ = command("edits", "--bundle", "tiny-64", "--html", page)
    assert (status, out.strip()) == (0, str(page))
    html = page.read_text()
    # smile and age, each along its direction and by the latent transformer, at five strengths.
    assert html.count("data:image/jpeg") == 2 * 2 * 5
    assert "http" not in html
    assert "Look older" in html
    assert "-2" in html  # age takes no -3


def test_an_unknown_bundle_is_answered_with_those_installed(command):
    status, _, err = command("edits", "--bundle", "nope")
    assert status == 2
    assert "error: no bundle 'nope'" in err
    assert "tiny-64" in err


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        ("wings=1", "no edit 'wings'; it has: age, smile"),
        ("smile=50", "-3 to 3"),
        ("smile", "smile=+2"),
        ("smile=0@0s,50@1s", "-3 to 3"),
        ("smile=2@1s,0@0s", "ascending"),
    ],
)
def test_an_impossible_edit_ends_at_once(command, clip, tmp_path, edit, text):
    status, out, err = command("edit", clip, "--edit", edit, "-o", tmp_path / "o.mp4", "--bundle", "tiny-64")
    assert (status, out) == (2, "")
    assert text in err
    assert "Traceback" not in err


def test_a_sweep_is_refused_as_a_whole(command, clip, tmp_path):
    arguments = ("edit", clip, "--edit", "smile=-3:30:3", "--bundle", "tiny-64")
    status, _, err = command(*arguments, "-o", tmp_path / "out")
    assert status == 2
    assert "got 13.5" in err
    status, _, err = command(*arguments, "-o", tmp_path / "out.mp4")
    assert status == 2
    assert "name a directory" in err
    assert not (tmp_path / "out").exists()


def test_a_preview_is_checked_like_an_edit(command, clip, tmp_path):
    arguments = ("preview", clip, "--bundle", "tiny-64", "-o", tmp_path / "sheet.png")
    status, _, err = command(*arguments, "--edit", "wings=-3:3:7")
    assert status == 2
    assert "no edit 'wings'" in err
    status, _, err = command(*arguments)
    assert status == 2
    assert "nothing to do" in err


@pytest.mark.parametrize("task", ["edit", "preview"])
def test_a_style_is_checked_at_once(command, clip, tmp_path, task):
    arguments = (task, clip, "--bundle", "tiny-64", "-o", tmp_path / "out.mp4")
    status, _, err = command(*arguments, "--style", "face", "face with a mohawk")
    assert status == 2
    assert "never met 'mohawk'" in err
    status, _, err = command(*arguments, "--style", "face", "old face", "--style-strength", "3")
    assert status == 2
    assert "from 0 to 2, got 3" in err
    status, _, err = command(*arguments, "--edit", "smile=1", "--style-strength", "1")
    assert status == 2
    assert "--style-strength is for --style" in err


@pytest.mark.parametrize("edit", ["smile=0:2:3", "smile=2:lt"])
def test_ablations_choose_strengths_and_methods_themselves(command, clip, tmp_path, edit):
    arguments = ("benchmark", "ablations", clip, "--bundle", "tiny-64", "-o", tmp_path / "out")
    status, _, err = command(*arguments, "--edit", edit)
    assert status == 2
    assert "choose the method themselves" in err


@pytest.mark.parametrize("content", [b"", b"this is not a video", b"\x00" * 4096])
def test_what_is_not_a_video_ends_at_once(command, tmp_path, content):
    source = tmp_path / "notes.mp4"
    source.write_bytes(content)
    status, _, err = command("edit", source, "--edit", "smile=1", "-o", tmp_path / "o.mp4", "--bundle", "tiny-64")
    assert status == 2
    assert "notes.mp4" in err


def test_a_missing_file_is_named(command, tmp_path):
    status, _, err = command("edit", tmp_path / "gone.mp4", "--edit", "smile=1", "-o", tmp_path / "o.mp4")
    assert status == 2
    assert "gone.mp4" in err


def test_a_remote_editor_needs_a_store(command, clip, tmp_path):
    status, _, err = command("edit", clip, "--edit", "smile=1", "-o", tmp_path / "o.mp4", "--editor", "editor:1")
    assert status == 2
    assert "--store" in err


def test_a_remote_editor_that_does_not_answer_is_named(command, clip, tmp_path, monkeypatch):
    impatient = partial(Client, retry=Retry(connect_seconds=0.3, repeats=0, patience_seconds=0))
    monkeypatch.setattr("seamline.cli.call.Client", impatient)
    store = (tmp_path / "store").as_uri()
    arguments = ("edit", clip, "--edit", "smile=1", "-o", tmp_path / "o.mp4", "--store", store)
    status, _, err = command(*arguments, "--editor", "127.0.0.1:1")
    assert status == 1
    assert "127.0.0.1:1 did not answer" in err
    assert len(list(open_store(store).list("videos/"))) == 1  # uploaded, under its digest


def test_a_forgotten_option_is_a_usage_error(command, clip):
    status, _, err = command("edit", clip, "--edit", "smile=1")
    assert status == 2
    assert "--out" in err
