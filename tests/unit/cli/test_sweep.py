import io

import pytest
from rich.console import Console

from seamline.cli import sweep
from seamline.cli.arguments import parse_edits
from seamline.cli.choices import Choices, Inversion
from seamline.cli.session import Session
from seamline.cli.sweep import sweep_files, sweep_jobs
from seamline.errors import NoFace
from seamline.storage import open_store
from tests.unit.report.test_page import FIGURES
from tests.unit.video.films import film

CHOICES = Choices(inversion=Inversion.E4E)


@pytest.fixture
def jobs(tmp_path):
    source = film(tmp_path / "in.mp4", count=3)
    return sweep_jobs(source, tmp_path / "out", parse_edits(["age=-4:4:3"]).variants(), CHOICES)


@pytest.fixture
def session(tmp_path):
    return Session(endpoint="editor:1", store=open_store((tmp_path / "store").as_uri()))


def test_every_strength_has_its_files(jobs, tmp_path):
    names = [[path.relative_to(tmp_path).as_posix() for path in job.files] for job in jobs]
    assert names[0] == ["out/age-4.mp4", "out/age-4.json", "out/age-4.html"]
    assert [job.out.name for job in jobs] == ["age-4.mp4", "age+0.mp4", "age+4.mp4"]
    assert all(job.choices == CHOICES for job in jobs)


def test_makes_them_in_order_and_a_page_of_all(jobs, session, monkeypatch):
    async def edit_file(job, session, bars):
        job.out.parent.mkdir(exist_ok=True)
        film(job.out, count=3)
        (edit,) = job.variant.edits
        return FIGURES | {"edits": {edit.name: edit.strength}, "edit_effect": None}

    monkeypatch.setattr(sweep, "edit_file", edit_file)
    told = io.StringIO()
    index = sweep_files(jobs, session, Console(file=told, width=80))
    page = index.read_text()
    places = [page.index(f'alt="age{strength}"') for strength in ("-4", "+0", "+4")]
    assert places == sorted(places)
    assert page.count("data:image/jpeg") == 4
    assert "2 of 3: age+0" in told.getvalue()


def test_an_error_ends_it(jobs, session, monkeypatch):
    async def edit_file(job, session, bars):
        raise NoFace("no face")

    monkeypatch.setattr(sweep, "edit_file", edit_file)
    with pytest.raises(NoFace):
        sweep_files(jobs, session, Console(file=io.StringIO()))
    assert not (jobs[0].out.parent / "index.html").exists()
