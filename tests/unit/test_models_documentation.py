"""The code in docs/models.md runs as it stands, on networks that are drawn."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seamline.checkpoints.network_file import Converted, write_converted
from seamline.networks.registry import build
from tests.fakes.bundle import CONFIGS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
FILES = {
    "generator": "generator",
    "e4e": "e4e",
    "parsing": "parsing",
    "lpips": "perceptual",
    "identity": "identity",
}
FRAMES = 2


def blocks(section: str) -> list[str]:
    """The Python in one section of the page."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the page names, in the working directory."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    for name, kind in FILES.items():
        config = CONFIGS[kind]
        tensors = build(kind, config).state_dict()
        write_converted(
            tmp_path / f"{name}.safetensors",
            Converted(kind=kind, config=config, tensors=tensors, licence="CC0-1.0", source="drawn"),
        )


@pytest.mark.usefixtures("networks")
def test_official_weights_from_python() -> None:
    given: dict[str, Any] = {}
    (code,) = blocks("Official weights: from Python")
    with torch.no_grad():
        exec(compile(code, PAGE.name, "exec"), given)
    torch.testing.assert_close(given["same"], given["image"])
    assert given["inverted"].shape == given["codes"].shape
    assert torch.equal(given["classes"], given["logits"].argmax(1))
    torch.testing.assert_close(given["embedding"].norm(dim=1), torch.ones(1))
    assert given["distance"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.usefixtures("networks")
def test_tuning_from_python() -> None:
    rng = np.random.default_rng(0)
    face = np.stack([rng.uniform(40, 80, 68), rng.uniform(30, 70, 68)], -1)
    given: dict[str, Any] = {
        "frames": rng.integers(0, 256, (FRAMES, 96, 128, 3), dtype=np.uint8),
        "landmarks": face + rng.normal(0, 0.3, (FRAMES, 68, 2)),
    }
    code = blocks("Tuning from Python")
    assert len(code) == 9
    for number, block in enumerate(code):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), given)
    tuned, stitched, losses = given["tuned"], given["stitched"], given["losses"]
    assert torch.equal(given["same"], given["drawn"])
    assert tuned.total.shape == (2, FRAMES)
    torch.testing.assert_close(tuned.total, 10 * tuned.l2 + tuned.perceptual)
    assert (tuned.total[1] < tuned.total[0]).all()
    assert len(losses) == 3 * FRAMES
    assert all(border <= total for border, total in losses)
    assert losses[2][0] < losses[0][0]
    assert stitched.steps == [3] * FRAMES
    assert all(image.shape == (96, 128, 3) for image in given["result"])
    assert any((image != frame).any() for image, frame in zip(given["result"], given["frames"], strict=True))
