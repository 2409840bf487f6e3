"""What the golden tests of networks share: checkpoints drawn by rule, and a comparison."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from seamline.networks import Lpips
from tests.golden.data import fill

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-4
Network = TypeVar("Network", bound=nn.Module)


class Golden:
    """One network's keys, drawn weights and recorded outputs."""

    def __init__(self, name: str, prefix: str = "") -> None:
        self.keys: dict[str, Any] = json.loads((DATA / f"{name}.keys.json").read_text())
        self.shapes = {key.removeprefix(prefix): shape for key, shape in self.keys["shapes"].items()}
        with np.load(DATA / f"{name}.npz") as stored:
            self.outputs = {key: torch.from_numpy(stored[key]) for key in stored.files}

    def state_dict(self) -> dict[str, Tensor]:
        """Weights in the public format."""
        # Drawing releases the interpreter lock and is most of what a big network's test does.
        with ThreadPoolExecutor(max_workers=2) as pool:
            return dict(zip(self.shapes, pool.map(self._draw, self.shapes), strict=True))

    def _draw(self, key: str) -> Tensor:
        shape, keys = {key: self.shapes[key]}, self.keys
        value = torch.from_numpy(np.array(fill.fill(shape, keys["seed"], keys["equalized"], keys["fixed"])[key]))
        return value.float() if value.is_floating_point() else value

    def load(self, build: Callable[[], Network]) -> Network:
        """The network with the drawn weights; it must have all their names and no others."""
        with torch.device("meta"):
            network = build()
        network.load_state_dict(self.state_dict(), assign=True)
        return network.eval()

    def image(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """An input image in [-1, 1]."""
        return torch.from_numpy(fill.image(name, shape, self.keys["seed"]))


def relative_error(result: Tensor, golden: Tensor) -> float:
    """Largest difference in units of the largest golden value."""
    assert result.shape == golden.shape
    return float((result - golden).abs().max() / golden.abs().max())


def lpips_state_dict(golden: Golden, network: Lpips) -> dict[str, Tensor]:
    """Drawn convolutions, the published channel weights, and the constants that the network sets itself."""
    state = {key: value for key, value in golden.state_dict().items() if key.startswith("net.")}
    with np.load(DATA / "lpips_alex_lin.npz") as published:
        for key in published.files:
            state[key] = torch.from_numpy(published[key])
            state[key.replace("lin", "lins.", 1)] = state[key]
    constants = {"scaling_layer.shift", "scaling_layer.scale"}
    return {key: value for key, value in network.state_dict().items() if key in constants} | state
