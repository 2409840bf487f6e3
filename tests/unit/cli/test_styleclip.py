"""`seamline styleclip prepare` on a tiny bundle."""

import torch
from typer.testing import CliRunner

from seamline.bundles import load_bundle
from seamline.cli.styleclip import PARTIAL, styleclip_app
from seamline.editing import preparation
from tests.fakes.bundle import NAME, tiny_bundle


def test_a_bundle_is_prepared_for_text_edits(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(preparation, "STATISTICS", 16)
    monkeypatch.setenv("SEAMLINE_BUNDLES", str(tmp_path))
    before = tiny_bundle(tmp_path)
    arguments = ["prepare", "--bundle", NAME, "--samples", "1", "--beta", "0.3", "--longest-step", "5"]
    result = CliRunner().invoke(styleclip_app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "channels" in result.output
    after = load_bundle(NAME, tmp_path)
    assert after.digest != before.digest
    assert after.manifest.networks == before.manifest.networks
    assert (after.relevance.beta, after.relevance.longest_step) == (0.3, 5.0)
    torch.testing.assert_close(
        after.relevance.embeddings.norm(dim=1), torch.ones(len(after.relevance.std)), atol=1e-2, rtol=0
    )
    assert "--samples 1 --beta 0.3 --longest-step 5" in str(after.manifest.relevance)
    assert not (after.directory / PARTIAL).exists()
