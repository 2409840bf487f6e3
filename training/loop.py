"""The one training loop of the small networks."""

import copy
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Batch = Mapping[str, Tensor]
Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how fast to learn."""

    minutes: float = 8.0
    """CPU minutes after which it ends; the learning rate falls to zero with them."""
    steps: int = 0
    """Ends after as many steps instead, if not 0: the same weights on every run."""
    learning_rate: float = 2e-3
    """AdamW's highest learning rate, reached after the warm-up."""
    warmup: float = 0.03
    """Share of the run in which the learning rate rises."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay, on matrices and filters."""
    ema: float = 0.99
    """Decay of the averaged weights, which are what is kept."""
    seed: int = 0
    """Draws the initial weights; data loaders take their own."""
    checkpoint_seconds: float = 60.0
    """CPU seconds between checkpoints."""


@dataclass
class Progress:
    """Where a run is; what a checkpoint stores beside weights."""

    step: int = 0
    seconds: float = 0.0

    def share(self, config: LoopConfig) -> float:
        """How much of the run is over, 0 to 1."""
        share = self.step / config.steps if config.steps else self.seconds / (60 * config.minutes)
        return min(share, 1.0)


def single_core() -> None:
    """Keep torch to one core."""
    torch.set_num_threads(1)


def learning_rate(share: float, config: LoopConfig) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if share < config.warmup:
        return config.learning_rate * (share + 1e-3) / config.warmup
    return config.learning_rate * (1 + cos(pi * (share - config.warmup) / (1 - config.warmup))) / 2


def train(
    module: nn.Module, loss: Loss, batch: Callable[[int], Batch], out: Path, config: LoopConfig
) -> nn.Module:
    """Train a network, or go on where a checkpoint in `out` left off.

    Args:
        module: The network, or a wrapper that holds it with what only training needs.
        loss: Scalar loss of the module on a batch; runs under bfloat16 autocast.
        batch: The batch of a step; a function of nothing else, so that a resumed run sees the same data.
        out: Directory for `checkpoint.pt` and `log.jsonl`.
        config: How long and how fast.

    Returns:
        A copy with averaged weights, in evaluation mode.
    """
    out.mkdir(parents=True, exist_ok=True)
    module = module.to(memory_format=torch.channels_last).train()
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
    optimiser = torch.optim.AdamW(_groups(module, config), betas=(0.9, 0.99))
    state = {"module": module, "average": average, "optimiser": optimiser}
    progress = _resume(out, state)
    started, saved, total = time.process_time() - progress.seconds, progress.seconds, 0.0
    while progress.share(config) < 1:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(progress.share(config), config)
        total += _step(module, loss, batch(progress.step), optimiser)
        average.update_parameters(module)
        progress.step += 1
        progress.seconds = time.process_time() - started
        if progress.step % 50 == 0:
            _log(out, progress, total / 50)
            total = 0.0
        if progress.seconds - saved > config.checkpoint_seconds:
            saved = progress.seconds
            _save(out, state, progress)
    _save(out, state, progress)
    return copy.deepcopy(average.module).eval()


def _groups(module: nn.Module, config: LoopConfig) -> list[dict[str, object]]:
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _step(module: nn.Module, loss: Loss, batch: Batch, optimiser: torch.optim.Optimizer) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(module, batch)
    if not value.isfinite():
        raise FloatingPointError("the loss is not finite; lower the learning rate")
    optimiser.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 5.0)
    optimiser.step()
    return float(value.detach())


def _resume(out: Path, state: Mapping[str, nn.Module | torch.optim.Optimizer]) -> Progress:
    path = out / "checkpoint.pt"
    if not path.exists():
        return Progress()
    stored = torch.load(path, weights_only=True)
    for name, part in state.items():
        part.load_state_dict(stored[name])
    return Progress(**stored["progress"])


def _save(out: Path, state: Mapping[str, nn.Module | torch.optim.Optimizer], progress: Progress) -> None:
    parts = {name: part.state_dict() for name, part in state.items()}
    torch.save({**parts, "progress": vars(progress)}, out / "checkpoint.partial")
    (out / "checkpoint.partial").replace(out / "checkpoint.pt")


def _log(out: Path, progress: Progress, loss: float) -> None:
    line = {"step": progress.step, "cpu_seconds": round(progress.seconds, 1), "loss": round(loss, 5)}
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    print(line, flush=True)
