"""The hypernetwork of a checkpoint laid out as HyperStyle's public one."""

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seamline.checkpoints.formats import FORMATS
from seamline.checkpoints.formats.hyperstyle import _config
from seamline.checkpoints.network_file import load_network, write_converted
from seamline.errors import InvalidInput
from seamline.networks.hyperstyle import HyperStyle, HyperStyleConfig

SMALL = HyperStyleConfig(
    input_size=128,
    resolution=64,
    channel_base=512,
    channel_max=16,
    width=4,
    units=(2, 1, 3, 1),
    code_width=8,
    shared_width=4,
    own_width=6,
)
SHARED = "shared_weight_hypernet."


def network(config: HyperStyleConfig = SMALL) -> HyperStyle:
    torch.manual_seed(0)
    made = HyperStyle(config).eval()
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if tensor.is_floating_point() and not name.startswith(("body", "conv1")):
                tensor.normal_(0.1, 0.1).abs_()
    return made


def checkpoint(made: HyperStyle) -> dict[str, Any]:
    """As `torch.save` in its trainer writes it: with the shared matrices in every block, and the generator."""
    state: dict[str, Tensor] = {f"hypernet.{name}": tensor for name, tensor in made.state_dict().items()}
    for name in list(made.state_dict()):
        if match := re.fullmatch(r"refinement_blocks\.(\d+)\.linear\.weight", name):
            for matrix in ("w1", "b1", "w2", "b2"):
                block = f"hypernet.refinement_blocks.{match[1]}.hypernet"
                state[f"{block}.{matrix}"] = state[f"hypernet.{SHARED}{matrix}"]
    state["decoder.input.input"] = torch.zeros(1, 16, 4, 4)
    return {"state_dict": state, "opts": {"output_size": 64, "load_w_encoder": True}, "latent_avg": torch.zeros(10, 8)}


def convert(folder: Path, found: Any) -> HyperStyle:
    torch.save(found, folder / "hyperstyle_ffhq.pt")
    write_converted(folder / "out.safetensors", FORMATS["hyperstyle"]([folder / "hyperstyle_ffhq.pt"]))
    loaded = load_network(folder / "out.safetensors")
    assert isinstance(loaded, HyperStyle)
    return loaded


@pytest.mark.parametrize("blocks", [(), (8, 64)])
def test_offsets_are_those_of_the_checkpoint(tmp_path: Path, blocks: tuple[int, ...]) -> None:
    made = network(replace(SMALL, blocks=blocks))
    loaded = convert(tmp_path, checkpoint(made))
    assert loaded.config == made.config
    images = torch.rand(2, 2, 3, 128, 128) * 2 - 1
    with torch.inference_mode():
        expected, found = made(*images), loaded(*images)
    assert list(found) == list(expected)
    for name, offset in expected.items():
        assert 1e-6 < offset.abs().mean() < 1e6
        torch.testing.assert_close(found[name], offset)


def test_the_public_sizes_are_told_from_shapes() -> None:
    with torch.device("meta"):
        public = checkpoint(HyperStyle(HyperStyleConfig()))
    found = HyperStyleConfig(**_config(Path("it"), public["state_dict"]))
    assert asdict(found) == asdict(HyperStyleConfig())


def _edited(key: str, change: Callable[[Tensor], Any] | None) -> Callable[[dict[str, Any]], Any]:
    def edit(found: dict[str, Any]) -> Any:
        value = found["state_dict"].pop(key)
        if change is not None:
            found["state_dict"][key] = change(value)
        return found

    return edit


BLOCK = "hypernet.refinement_blocks."


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda found: found["state_dict"], "key state_dict is missing"),
        (_edited("hypernet.conv1.weight", None), r"conv1\.weight is missing"),
        (_edited("hypernet.conv1.weight", lambda t: t[0]), "wanted 4 dimensions"),
        (_edited(f"hypernet.{SHARED}w1", lambda t: 3), "is a int, not a tensor"),
        (_edited(f"hypernet.{SHARED}w2", lambda t: t[:, :8]), "shared_kernel must be"),
        (_edited("hypernet.body.3.conv1.weight", None), "missing|no hyperstyle network"),
        (_edited(f"{BLOCK}0.convs.0.weight", lambda t: t[:, :1]), r"has shape \(4, 1, 3, 3\)"),
        (_edited(f"{BLOCK}2.hypernet.w1", lambda t: t + 1), r"2\.hypernet\.w1 differs from"),
        (_edited(f"{BLOCK}2.hypernet.b1", None), r"2\.hypernet\.b1 is missing"),
        (_edited(f"{BLOCK}12.output.1.bias", lambda t: t * torch.nan), "holds NaN"),
        (lambda found: found["state_dict"].update({f"{BLOCK}900.x": torch.ones(1)}) or found, "no generator has"),
        (lambda found: found["state_dict"].update({"hypernet.extra": torch.ones(1)}) or found, "extra is unknown"),
        (lambda found: {"state_dict": {"hypernet.conv1.weight": torch.ones(4, 6, 7, 7)}}, "missing"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path: Path, edit: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=f"hyperstyle_ffhq.pt: .*{message}"):
        convert(tmp_path, edit(checkpoint(network())))
    assert not (tmp_path / "out.safetensors").exists()
