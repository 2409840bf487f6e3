"""Every container in which checkpoints come, read to the values that were written."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seamline.checkpoints import read_checkpoint
from seamline.checkpoints.stand_ins import StandIn, attribute, state_dict_of
from seamline.errors import InvalidInput
from tests.fakes.foreign import EasyDict, Persistent, as_pickle, persistent_generator
from tests.fakes.pickle_code import built, call, data, name, table, text, tuple_of, whole

Write = Callable[[Any, Path], None]


def old(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def pickled(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


WRITERS: list[Write] = [torch.save, old, pickled]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(4, 5), nn.PReLU())
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), inner)


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert sorted(found) == sorted(wanted)
    for key, tensor in wanted.items():
        torch.testing.assert_close(found[key], tensor, rtol=0, atol=0)
        assert not found[key].requires_grad


@pytest.mark.parametrize("write", WRITERS)
def test_tensors_come_back_whatever_their_type_and_layout(write: Write, path: Path) -> None:
    base = torch.arange(24).reshape(2, 3, 4)
    wanted = {
        **{
            str(kind): base.to(kind)
            for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.uint8)
        },
        "transposed": base.transpose(0, 2),
        "slice": base[1, 1:],
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "bool": base > 3,
        "parameter": nn.Parameter(torch.ones(2)),
        "expanded": torch.ones(1).expand(7),
    }
    write(wanted, path)
    same(read_checkpoint(path), {key: tensor.detach() for key, tensor in wanted.items()})


@pytest.mark.parametrize("write", WRITERS)
def test_whole_modules_come_back_as_stand_ins(write: Write, network: nn.Module, path: Path) -> None:
    write({"generator": network, "opts": {"rate": 0.1}}, path)
    found = read_checkpoint(path)
    assert found["opts"] == {"rate": 0.1}
    assert isinstance(found["generator"], StandIn)
    assert str(found["generator"]) == "torch.nn.modules.container.Sequential"
    assert attribute(found["generator"], "training") is True
    same(state_dict_of(found["generator"]), network.state_dict())


def test_a_torchscript_archive_gives_its_weights_and_no_code(network: nn.Module, path: Path) -> None:
    torch.jit.script(network).save(str(path))
    found = read_checkpoint(path)
    assert found.module.startswith("__torch__.")
    same(state_dict_of(found), network.state_dict())


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back_from_every_protocol(protocol: int, path: Path) -> None:
    wanted = {"a": [1, -2, 2**70, 0.5, True, None], "b": ("x", b"y", bytearray(b"z")), "c": {1, "one"}, 4: frozenset()}
    path.write_bytes(pickle.dumps(wanted, protocol))
    assert read_checkpoint(path) == wanted


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back_from_every_protocol(protocol: int, path: Path) -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    path.write_bytes(pickle.dumps([array, np.float64(2.5), np.arange(3)], protocol))
    found, number, integers = read_checkpoint(path)
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, number) == (np.float32, 2.5)
    np.testing.assert_array_equal(integers, np.arange(3))


def test_numpy_files(path: Path) -> None:
    arrays = {"a": np.asfortranarray(np.random.default_rng(0).random((3, 4))), "b": np.arange(5)}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    path.write_bytes(content.getvalue())
    found = read_checkpoint(path)
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], arrays["a"])
    content = io.BytesIO()
    np.save(content, arrays["a"])
    path.write_bytes(content.getvalue())
    np.testing.assert_array_equal(read_checkpoint(path), arrays["a"])


def test_safetensors(path: Path) -> None:
    wanted = {"a": torch.arange(3.0), "b": torch.ones(2, 2).half()}
    save_file(wanted, path)
    same(read_checkpoint(path), wanted)


def test_stylegans_persistent_classes_come_back_without_their_source(path: Path) -> None:
    state = {
        "mapping.fc0.weight": torch.ones(2, 2),
        "mapping.w_avg": torch.zeros(2),
        "synthesis.b4.const": torch.ones(1),
    }
    path.write_bytes(
        as_pickle({"G_ema": persistent_generator(state), "training_set_kwargs": EasyDict(path="ffhq.zip")})
    )
    found = read_checkpoint(path)
    assert found["training_set_kwargs"] == {"path": "ffhq.zip"}
    assert str(found["G_ema"]) == "torch_utils.persistence.Generator"
    same(state_dict_of(found["G_ema"]), state)


def test_easy_dictionaries_of_old_protocols(path: Path) -> None:
    with_state = name("dnnlib.util", "EasyDict") + name("__builtin__", "dict") + table((text("a"), b"K\x01"))
    path.write_bytes(whole(name("copy_reg", "_reconstructor") + b"(" + with_state + b"tR"))
    assert read_checkpoint(path) == {"a": 1}


def test_easy_dictionaries_of_old_pythons_have_an_empty_state(path: Path) -> None:
    path.write_bytes(whole(built(name("dnnlib.util", "EasyDict") + b")\x81" + b"(" + text("a") + b"K\x01u", b"}")))
    assert read_checkpoint(path) == {"a": 1}


def test_tensors_as_torch_wrote_them_before_version_0_2(path: Path) -> None:
    content = io.BytesIO()
    torch.save(torch.arange(6.0).untyped_storage(), content, _use_new_zipfile_serialization=False)
    storage = call(name("torch.storage", "_load_from_bytes"), data(content.getvalue()))
    path.write_bytes(
        whole(built(call(name("torch", "ByteTensor")), tuple_of(storage, b"K\x04", b"K\x02\x85", b"K\x01\x85")))
    )
    assert read_checkpoint(path).tolist() == list(torch.arange(6.0).numpy().tobytes()[4:6])


def test_options_that_are_paths_or_namespaces(path: Path) -> None:
    from argparse import Namespace

    torch.save({"opts": Namespace(rate=0.1), "dir": PurePosixPath("a/b"), "device": torch.device("cpu")}, path)
    with pytest.raises(InvalidInput, match="PurePosixPath"):
        read_checkpoint(path)
    torch.save({"opts": Namespace(rate=0.1), "dir": Path("a/b"), "device": torch.device("cpu")}, path)
    found = read_checkpoint(path)
    assert (attribute(found["opts"], "rate"), found["dir"], found["device"].args) == (0.1, "a/b", ("cpu",))


def test_a_module_that_holds_itself_has_no_state_dict(path: Path) -> None:
    linear = name("torch.nn.modules.linear", "Linear") + b")\x81q\x01"
    path.write_bytes(
        whole(built(linear, table((text("_parameters"), b"}"), (text("_modules"), table((text("a"), b"h\x01"))))))
    )
    with pytest.raises(InvalidInput, match="64 deep in one another"):
        state_dict_of(read_checkpoint(path))


def test_what_is_no_module_has_no_state_dict() -> None:
    with pytest.raises(InvalidInput, match="which has no weights"):
        state_dict_of(StandIn("argparse", "Namespace"))


def test_buffers_that_are_not_kept_are_not_in_the_state_dict(path: Path) -> None:
    state = {**nn.Module().__dict__, "_buffers": {"kept": torch.ones(1), "passing": torch.ones(1)}}
    path.write_bytes(as_pickle(Persistent("AugmentPipe", {**state, "_non_persistent_buffers_set": {"passing"}})))
    assert list(state_dict_of(read_checkpoint(path))) == ["kept"]
