import re

import pytest

from seamline.report import Reference, Shown, write_comparison
from tests.unit.report.test_page import EVIL, FIGURES, Page
from tests.unit.video.films import film

PAPER = Reference(name="the paper", note="another domain", tl_id=0.996, tg_id=0.933)


def _shown(directory, name, **figures):
    made = FIGURES | {"edit_effect": 1.1} | figures
    return Shown(name=name, video=film(directory / f"{name}.mp4", count=3), figures=made)


@pytest.fixture
def source(tmp_path):
    return film(tmp_path / "source.mp4", count=3)


def _page(path):
    return Page(path.read_text())


def test_shows_every_video_with_its_figures(source, tmp_path):
    shown = [_shown(tmp_path, "age-4"), _shown(tmp_path, "age+4", tl_id=0.9, edit_effect=None)]
    write_comparison(tmp_path / "index.html", source, shown, title="two strengths", reference=PAPER)
    page = _page(tmp_path / "index.html")
    assert page.count("img") == 3
    assert page.count("tr") == 4
    for text in ("two strengths", "0.988", "0.900", "31.2", "+1.10", "the paper", "another domain", "0.996", "0.933"):
        assert text in page.text
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    assert links == ["age-4.mp4", "age%2B4.mp4", "age-4.html", "age%2B4.html"]


def test_bars_are_as_long_as_figures_are_from_their_ideal(source, tmp_path):
    shown = [_shown(tmp_path, "near", tl_id=1.01), _shown(tmp_path, "far", tl_id=0.96)]
    write_comparison(tmp_path / "index.html", source, shown, title="bars")
    widths = re.findall(r"width: ([\d.]+)%\"></div></td>", (tmp_path / "index.html").read_text())
    assert len(widths) == 2 * 4
    assert [float(widths[0]), float(widths[4])] == [25.0, 100.0]


def test_what_comes_from_outside_is_escaped(source, tmp_path):
    plain = _shown(tmp_path, "plain", edits={EVIL: 1.0})
    evil = Shown(name=EVIL, video=plain.video, figures=plain.figures)
    write_comparison(tmp_path / "index.html", source, [evil], title=EVIL, note=EVIL)
    assert _page(tmp_path / "index.html").count("script") == 0
