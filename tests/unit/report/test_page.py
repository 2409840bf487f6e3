import re
from html.parser import HTMLParser

import pytest

from seamline.report import FramePair, SeamCrops, write_report

PIXEL = "data:image/jpeg;base64,AAAA"
EVIL = '<script>alert("x")</script>'

SCORES = {
    "frames": [0, 1, 2],
    "curves": {"tl_id": [1.0, 0.99, 0.98], "tg_id": [0.9, 0.91, 0.92], "similarity": [0.8, 0.8, 0.8]},
    "seam_error": {"per_frame": {"naive": [0.1, 0.1, None], "stitched": [0.02, 0.02, None]}},
    "edit_effect": {"smile": {"per_frame": [1.0, 1.1, 1.2]}},
}
FIGURES = {
    "bundle": "avatar-256",
    "edits": {"smile": 2.0},
    "style": None,
    "algorithm": "default",
    "inversion": "pti",
    "pivots": "e4e",
    "blend": "stitch",
    "frames": 3,
    "edited_frames": 3,
    "width": 64,
    "height": 48,
    "fps": 25.0,
    "tl_id": 0.9876,
    "tg_id": 0.9,
    "identity_similarity": 0.8,
    "inversion_psnr_db": 31.25,
    "encoder_psnr_db": 22.0,
    "seam_error": {"naive": 0.1, "stitched": 0.02},
    "edit_effects": {"smile": 1.1},
    "share_of_frames": {"smile": 1.0},
    "geometry": {"smile": {"source": 0.5, "edited": 0.6}},
    "stage_seconds": {"align": 1.0, "stitch": 4.0},
    "step_seconds": {"align.detect": 0.75, "stitch.tune": 3.5},
    "seconds_per_frame": 1.67,
}
PAIRS = [FramePair(number=n, source=PIXEL, edited=PIXEL) for n in (0, 2)]
SEAM = SeamCrops(frame=1, source=PIXEL, naive=PIXEL, stitched=PIXEL)


class Page(HTMLParser):
    """Elements by tag, with their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def count(self, tag):
        return sum(found == tag for found, _ in self.elements)


@pytest.fixture
def page(tmp_path):
    def render(figures=FIGURES, scores=SCORES, pairs=PAIRS, seam=SEAM):
        write_report(tmp_path / "report.html", figures, scores, pairs, seam)
        return Page((tmp_path / "report.html").read_text())

    return render


def test_shows_curves_pictures_figures_and_times(page):
    report = page()
    assert report.count("svg") == 4
    assert report.count("polyline") == 6
    assert report.count("button") == 2
    assert "0.988" in report.text
    assert "+1.10" in report.text
    assert re.search(r"detect\s+0\.75", report.text)
    widths = [attrs["style"] for tag, attrs in report.elements if "width" in attrs.get("style", "")]
    assert widths == ["width: 25.00%", "width: 100.00%"]


def test_needs_no_network(page):
    for tag, attrs in page().elements:
        for name in ("src", "href", "data-source"):
            assert attrs.get(name, "data:").startswith("data:"), (tag, attrs)
    assert page().count("link") == 0


def test_whatever_comes_from_outside_is_escaped(page):
    figures = FIGURES | {
        "bundle": EVIL,
        "edits": {EVIL: 1.0},
        "edit_effects": {EVIL: 1.0},
        "share_of_frames": {EVIL: 1.0},
        "geometry": {EVIL: {"source": 0.1, "edited": 0.2}},
        "step_seconds": {f"align.{EVIL}": 1.0},
    }
    report = page(figures, SCORES | {"edit_effect": {EVIL: {"per_frame": [1.0, 1.0, 1.0]}}})
    assert report.count("script") == 1
    assert EVIL in report.text


def test_a_bundle_that_measures_no_effect_has_no_effect_chart(page):
    report = page(FIGURES | {"edit_effects": {}, "share_of_frames": {}}, SCORES | {"edit_effect": {}})
    assert report.count("svg") == 3


def test_a_strength_over_time_has_its_own_chart(page):
    figures = FIGURES | {"edits": {"smile": [[0.0, 0.0], [1.5, 3.0]], "age": -1.0}}
    report = page(figures, SCORES | {"strengths": {"smile": [0.0, 1.5, 3.0]}})
    assert report.count("svg") == 5
    assert "smile +0 at 0 s → +3 at 1.5 s, age -1" in report.text


def test_without_edited_frames_there_are_no_pictures(page):
    report = page(pairs=[], seam=None)
    assert report.count("button") == report.count("img") == 0


def test_names_how_the_edit_was_blended(tmp_path):
    write_report(tmp_path / "r.html", FIGURES | {"blend": "poisson"}, SCORES, [], SEAM)
    page = (tmp_path / "r.html").read_text()
    assert "in the video: poisson" in page
    assert "seam, poisson" in page
    assert "stitched</th>" not in page
