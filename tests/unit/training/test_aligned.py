import numpy as np
import pytest
import torch

from tests.fakes.portraits import write_portraits
from training.aligned import AlignedBatches, reduce, shuffled
from training.data import Portraits


def test_an_epoch_shows_everything_once():
    seen = np.concatenate([shuffled(20, step, 5, 0) for step in range(4)])
    assert sorted(seen) == list(range(20))
    again = np.concatenate([shuffled(20, step, 5, 0) for step in range(4, 8)])
    assert sorted(again) == list(range(20))
    assert list(again) != list(seen)


def test_fewer_items_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="render more"):
        shuffled(3, 0, 4, 0)


def test_a_step_always_has_the_same_batch(tmp_path):
    batches = AlignedBatches(
        portraits=Portraits.all(write_portraits(tmp_path)), size=32, batch_size=4, with_parsing=True
    )
    one, two, other = batches(3), batches(3), batches(2)
    assert one["images"].shape == (4, 3, 32, 32)
    assert one["parsing"].shape == (4, 32, 32)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["images"], other["images"])


def test_reducing_averages_pictures_and_picks_labels():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, ::2] = 100
    assert (reduce(image, 2) == 50).all()
    labels = np.array([[3, 9], [9, 3]], np.uint8).repeat(2, 0).repeat(2, 1)
    assert reduce(labels, 2, labels=True).tolist() == [[3, 9], [9, 3]]


def test_the_last_shard_is_held_out(tmp_path):
    training, held_out = Portraits.split(write_portraits(tmp_path, shards=3))
    assert (len(training), len(held_out)) == (16, 8)
    seen, unseen = training.rows("z", np.arange(16)), held_out.rows("z", np.arange(8))
    assert not (seen[:, None] == unseen[None]).all(2).any()
