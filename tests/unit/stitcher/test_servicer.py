"""A stitcher that starts."""

from pathlib import Path

import pytest
from seamline_stitcher.config import StitcherConfig
from seamline_stitcher.servicer import StitcherServicer

from seamline.bundles.bundle import DEFAULT_BUNDLE
from seamline.networks import Generator
from seamline.storage import open_store
from tests.fakes.bundle import tiny_bundle


def servicer(bundles: Path) -> StitcherServicer:
    config = StitcherConfig(store=f"file://{bundles}/store", bundles_path=bundles)
    return StitcherServicer(config, open_store(config.store))


def test_the_default_bundle_draws_before_the_first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = Generator.synthesis_from_styles
    monkeypatch.setattr(
        Generator, "synthesis_from_styles", lambda own, styles: (drawn.append(len(styles[0])), draw(own, styles))[1]
    )
    tiny_bundle(tmp_path, DEFAULT_BUNDLE)
    servicer(tmp_path).warm()
    assert drawn == [8]


def test_a_stitcher_without_the_default_bundle_starts_cold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    servicer(tmp_path).warm()
    assert "starts cold" in caplog.text
    assert DEFAULT_BUNDLE in caplog.text
