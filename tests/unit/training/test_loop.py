import pytest
import torch
from torch import nn

from training.loop import LoopConfig, learning_rate, train

TRUTH = torch.tensor([[1.0, -2.0, 0.5]])


def batch(step):
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(step))
    return {"x": x, "y": x @ TRUTH.T}


def loss(module, given):
    with torch.autocast("cpu", enabled=False):
        return (module(given["x"]) - given["y"]).square().mean()


def linear():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def config(steps):
    return LoopConfig(steps=steps, learning_rate=0.1, ema=0.9, weight_decay=0.0)


def test_it_learns(tmp_path):
    trained = train(linear(), loss, batch, tmp_path, config(120))
    assert trained.weight.detach() == pytest.approx(TRUTH, abs=0.05)
    assert not trained.training


def test_a_finished_run_is_not_run_again(tmp_path):
    first = train(linear(), loss, batch, tmp_path, config(20))

    def none_left(step):
        raise AssertionError("the run is over")

    again = train(linear(), loss, none_left, tmp_path, config(20))
    assert torch.equal(again.weight, first.weight)


def test_a_broken_run_goes_on_as_if_unbroken(tmp_path):
    whole = train(linear(), loss, batch, tmp_path / "whole", config(90))

    def broken(step):
        if step == 65:
            raise KeyboardInterrupt
        return batch(step)

    saving = LoopConfig(steps=90, learning_rate=0.1, ema=0.9, weight_decay=0.0, checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        train(linear(), loss, broken, tmp_path / "broken", saving)
    seen = []
    resumed = train(linear(), loss, lambda step: seen.append(step) or batch(step), tmp_path / "broken", saving)
    assert seen[0] == 50
    torch.testing.assert_close(resumed.weight, whole.weight)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    with pytest.raises(FloatingPointError):
        train(linear(), lambda m, b: loss(m, b) * float("nan"), batch, tmp_path, config(3))


def test_the_learning_rate_rises_then_falls_to_zero():
    rates = [learning_rate(share, config(1)) for share in (0.0, 0.02, 0.03, 0.5, 1.0)]
    assert rates[0] < rates[1] < rates[2] == pytest.approx(0.1)
    assert rates[2] > rates[3] > rates[4] == pytest.approx(0.0)


def test_batches_made_ahead_are_the_same(tmp_path):
    settings = {"steps": 12, "learning_rate": 0.1, "ema": 0.9, "weight_decay": 0.0}
    alone = train(linear(), loss, batch, tmp_path / "alone", LoopConfig(**settings))
    ahead = train(linear(), loss, batch, tmp_path / "ahead", LoopConfig(**settings, workers=2))
    torch.testing.assert_close(ahead.weight, alone.weight)
