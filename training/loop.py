"""The one training loop of the small networks."""

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import cos, isfinite, pi
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

Batch = Mapping[str, Tensor]
Loss = Callable[[nn.Module, Batch], Tensor]


LOG_EVERY = 50
"""Steps between lines of the log, at which the loss is read."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how fast to learn, and on what."""

    steps: int
    """Steps after which it ends; the learning rate falls to zero with them."""
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
    """Seconds between checkpoints."""
    device: str = "cpu"
    """Where the network is trained."""
    workers: int = 0
    """Processes that make batches ahead; 0 makes them in between steps."""


def single_core() -> None:
    """Keep torch to one core."""
    torch.set_num_threads(1)


def learning_rate(share: float, config: LoopConfig) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if share < config.warmup:
        return config.learning_rate * (share + 1e-3) / config.warmup
    return config.learning_rate * (1 + cos(pi * (share - config.warmup) / (1 - config.warmup))) / 2


def train(module: nn.Module, loss: Loss, batch: Callable[[int], Batch], out: Path, config: LoopConfig) -> nn.Module:
    """Train a network, or go on where a checkpoint in `out` left off.

    Args:
        module: The network, or a wrapper that holds it with what only training needs.
        loss: Scalar loss of the module on a batch; runs under bfloat16 autocast.
        batch: The batch of a step; a function of nothing else, so that a resumed run sees the same data.
        out: Directory for `checkpoint.pt` and `log.jsonl`.
        config: How long, how fast and on what.

    Returns:
        A copy with averaged weights, in evaluation mode, on the CPU.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device(config.device)
    module = module.to(device, memory_format=torch.channels_last).train()
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
    optimiser = torch.optim.AdamW(_groups(module, config), betas=(0.9, 0.99), fused=True)
    state = {"module": module, "average": average, "optimiser": optimiser}
    step = _resume(out, state, device)
    began = saved = time.monotonic()
    total, counted = torch.zeros((), device=device), 0
    for given in _batches(batch, range(step, config.steps), config):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step / config.steps, config)
        total += _step(module, loss, {k: v.to(device, non_blocking=True) for k, v in given.items()}, optimiser)
        average.update_parameters(module)
        step, counted = step + 1, counted + 1
        if counted == LOG_EVERY or step == config.steps:
            _log(out, step, time.monotonic() - began, float(total) / counted)
            total, counted = torch.zeros_like(total), 0
            if time.monotonic() - saved > config.checkpoint_seconds or step == config.steps:
                saved = time.monotonic()
                _save(out, state, step)
    return copy.deepcopy(average.module).cpu().eval()


class _Steps(Dataset[Batch]):
    """Batches by step, for the processes that make them ahead."""

    def __init__(self, batch: Callable[[int], Batch]) -> None:
        self._batch = batch

    def __getitem__(self, step: int) -> Batch:
        return self._batch(step)


def _batches(batch: Callable[[int], Batch], steps: range, config: LoopConfig) -> Iterator[Batch]:
    """The batches of the steps in order."""
    yield from DataLoader(
        _Steps(batch),
        batch_size=None,
        sampler=steps,
        num_workers=config.workers,
        pin_memory=config.device != "cpu",
        worker_init_fn=lambda _: cv2.setNumThreads(0),
    )


def _groups(module: nn.Module, config: LoopConfig) -> list[dict[str, object]]:
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _step(module: nn.Module, loss: Loss, batch: Batch, optimiser: torch.optim.Optimizer) -> Tensor:
    device = next(iter(batch.values())).device
    with torch.autocast(device.type, dtype=torch.bfloat16):
        value = loss(module, batch)
    optimiser.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 5.0)
    optimiser.step()
    return value.detach()


def _resume(out: Path, state: Mapping[str, nn.Module | torch.optim.Optimizer], device: torch.device) -> int:
    """Load the checkpoint if there is one, and say after how many steps it was written."""
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0
    stored = torch.load(path, map_location=device, weights_only=True)
    for name, part in state.items():
        part.load_state_dict(stored[name])
    return int(stored["step"])


def _save(out: Path, state: Mapping[str, nn.Module | torch.optim.Optimizer], step: int) -> None:
    parts = {name: part.state_dict() for name, part in state.items()}
    torch.save({**parts, "step": step}, out / "checkpoint.partial")
    (out / "checkpoint.partial").replace(out / "checkpoint.pt")


def _log(out: Path, step: int, seconds: float, loss: float) -> None:
    """Write a line of the log; a loss that is not finite ends the run before it is saved."""
    line = {"step": step, "seconds": round(seconds, 1), "loss": round(loss, 5)}
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    print(line, flush=True)
    if not isfinite(loss):
        raise FloatingPointError(f"the loss is {loss} by step {step}; lower the learning rate")
