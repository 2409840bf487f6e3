"""What the editor reads from its environment, and the aligner, as far as it is about videos."""

import os

import pytest
from seamline_aligner.config import AlignerConfig
from seamline_editor.config import EditorConfig

from seamline.video import Limits
from seamline.video.limits import MAX_FRAMES


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SEAMLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SEAMLINE_STORE", "file:///var/lib/seamline")
    for stage in ("ALIGNER", "INVERTER", "STITCHER", "METRICS"):
        monkeypatch.setenv(f"SEAMLINE_{stage}", "stage:50051")


def test_nothing_is_connected_to_unless_it_is_listed(monkeypatch):
    assert EditorConfig.read().url_origins == ""
    monkeypatch.setenv("SEAMLINE_URL_ORIGINS", "https://media.example.com, http://store.local:9000")
    assert "store.local" in EditorConfig.read().url_origins


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("URL_ORIGINS", "media.example.com"),
        ("URL_ORIGINS", "https://*.example.com"),
        ("MAX_TRANSFERS", "0"),
        ("TRANSFER_SECONDS", "0"),
        ("MAX_VIDEO_BYTES", "-1"),
    ],
)
def test_a_wrong_value_ends_the_start_and_names_its_variable(name, value, monkeypatch):
    monkeypatch.setenv(f"SEAMLINE_{name}", value)
    with pytest.raises(SystemExit, match=f"SEAMLINE_{name}: "):
        EditorConfig.read()


def test_one_variable_bounds_what_both_take(monkeypatch):
    assert EditorConfig.read().max_video_bytes == AlignerConfig.read().max_video_bytes == 1 << 30
    monkeypatch.setenv("SEAMLINE_MAX_VIDEO_BYTES", "1000")
    assert EditorConfig.read().max_video_bytes == AlignerConfig.read().limits.bytes == 1000


def test_the_aligner_reads_its_limits(monkeypatch):
    limits = AlignerConfig.read().limits
    assert limits == Limits(bytes=1 << 30, seconds=3600, pixels=7680 * 4320, frames=MAX_FRAMES)
    for name, value in (("SECONDS", "90"), ("PIXELS", "1000000"), ("FRAMES", "500")):
        monkeypatch.setenv(f"SEAMLINE_MAX_VIDEO_{name}", value)
    assert AlignerConfig.read().limits == Limits(bytes=1 << 30, seconds=90, pixels=1_000_000, frames=500)
    monkeypatch.setenv("SEAMLINE_MAX_VIDEO_FRAMES", str(MAX_FRAMES + 1))
    with pytest.raises(SystemExit, match="SEAMLINE_MAX_VIDEO_FRAMES"):
        AlignerConfig.read()
