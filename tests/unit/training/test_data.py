import numpy as np
import pytest
import torch

from tests.fakes.portraits import write_portraits
from training.data import Portraits, ResidentPortraits

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    return Portraits.all(write_portraits(tmp_path_factory.mktemp("portraits"), shards=3))


@pytest.mark.parametrize("size", [64, 32])
def test_portraits_kept_on_a_device_are_those_on_disk(portraits, size):
    resident, rows = ResidentPortraits(portraits, CPU), np.array([0, 7, 8, 23])
    assert (len(resident), resident.parameters) == (len(portraits), portraits.parameters)
    kept, read = resident.batch(rows, size), portraits.batch(rows, size)
    assert kept.images.shape == (4, 3, size, size)
    for name in ("images", "parsing", "landmarks", "z"):
        assert torch.equal(getattr(kept, name), getattr(read, name))


def test_on_the_cpu_they_stay_on_disk(portraits):
    assert portraits.on(CPU) is portraits


def test_the_last_shard_is_held_out(tmp_path):
    training, held_out = Portraits.split(write_portraits(tmp_path, shards=3))
    assert (len(training), len(held_out)) == (16, 8)


def test_one_shard_cannot_be_split(tmp_path):
    with pytest.raises(FileNotFoundError, match="render at least two"):
        Portraits.split(write_portraits(tmp_path, shards=1))
