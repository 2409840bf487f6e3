"""The command line as a user runs it, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seamline.video import probe

pytestmark = pytest.mark.e2e

SEAMLINE = str(Path(sys.executable).parent / "seamline")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_edits_with_an_editor_that_runs(system, smiling, clip, tmp_path):
    out = tmp_path / "new" / "edited.mp4"
    command = [
        SEAMLINE, "edit", str(clip), "--edit", "smile=+2", "-o", str(out), "--report", str(tmp_path / "r.html"),
        "--editor", system.deployment.endpoint("editor"), "--store", system.url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert probe(out).frame_count == probe(clip).frame_count
    figures = json.loads(out.with_suffix(".json").read_text())
    assert figures["tl_id"] == pytest.approx(smiling.scores.tl_id)
    assert figures["edit_effect"] == pytest.approx(smiling.scores.edit_effects[0].mean)
    assert set(figures["stage_seconds"]) == {"align", "invert", "stitch", "score", "mux"}
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/jpeg") >= 12
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_an_edit_of_its_own_services_says_that_one_has_died(clip, tmp_path):
    environment = os.environ | {"SEAMLINE_CACHE": str(tmp_path / "cache")}
    command = [SEAMLINE, "edit", str(clip), "--edit", "smile=+2", "-o", str(tmp_path / "edited.mp4")]
    edit = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert edit.stderr is not None
    for line in edit.stderr:
        if line.startswith("align"):
            break
    stitcher = next(
        child for child in _children(edit.pid) if b"seamline_stitcher" in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    os.kill(stitcher, signal.SIGKILL)
    _, told = edit.communicate(timeout=60)
    assert edit.returncode == 1
    said = " ".join(told.split())
    assert "the stitcher ended with status -9" in said
    assert "repeat the call" in said
    assert not (tmp_path / "edited.mp4").exists()


def test_serve_ends_with_all_its_services(tmp_path):
    environment = os.environ | {"SEAMLINE_CACHE": str(tmp_path / "cache")}
    serve = subprocess.Popen(
        [SEAMLINE, "serve"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert serve.stderr is not None
        for line in serve.stderr:
            if "Ctrl-C" in line:
                break
        services = _children(serve.pid)
        assert len(services) == 5
        serve.send_signal(signal.SIGTERM)
        assert serve.wait(timeout=60) == 0
        assert not any(_alive(pid) for pid in services)
        assert list((tmp_path / "cache" / "logs").iterdir()) == []
    finally:
        serve.kill()
        serve.communicate()
