"""A converted network's file: complete or not there, and checked when it is loaded."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from seamline.checkpoints import Converted, describe, load_network, write_converted
from seamline.checkpoints.network_file import FORMAT
from seamline.errors import InvalidInput, NotFound
from seamline.networks import Lpips, LpipsConfig


@pytest.fixture
def network() -> Lpips:
    torch.manual_seed(0)
    return Lpips(LpipsConfig(width=4)).eval()


@pytest.fixture
def converted(network: Lpips) -> Converted:
    return Converted(
        kind="perceptual",
        config={"width": 4},
        tensors=network.state_dict(),
        licence="BSD-2-Clause",
        source="alex.pth",
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "perceptual.safetensors"


def test_a_network_is_loaded_as_it_was_converted(path: Path, converted: Converted, network: Lpips) -> None:
    written = write_converted(path, replace(converted, tensors={k: v.double() for k, v in converted.tensors.items()}))
    assert (written.file, written.size) == (path.name, path.stat().st_size)
    loaded = load_network(str(path))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
    one, other = torch.rand(2, 1, 3, 64, 64)
    torch.testing.assert_close(loaded(one, other), network(one, other))


def test_the_file_says_what_it_is(path: Path, converted: Converted) -> None:
    write_converted(path, converted)
    described = describe(path)
    assert (described.kind, described.config, described.licence) == ("perceptual", {"width": 4}, "BSD-2-Clause")
    assert (described.source, described.precision) == ("alex.pth", "float32")


def test_the_same_network_gives_the_same_bytes(path: Path, converted: Converted) -> None:
    assert write_converted(path, converted) == write_converted(path, converted)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensors: tensors.pop("lin0.model.1.weight"), "lin0.model.1.weight is missing"),
        (lambda tensors: tensors.update(more=torch.ones(1)), "more is unknown"),
        (lambda tensors: tensors.update({"lin0.model.1.weight": torch.ones(1)}), "has shape"),
    ],
)
def test_what_does_not_fit_leaves_nothing(
    change: Callable[[dict[str, Any]], Any], reason: str, path: Path, converted: Converted
) -> None:
    tensors = dict(converted.tensors)
    change(tensors)
    with pytest.raises(InvalidInput, match=reason):
        write_converted(path, replace(converted, tensors=tensors))
    assert list(path.parent.iterdir()) == []


def test_a_write_that_fails_leaves_the_file_that_was_there(
    path: Path, converted: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: Any, file: Path, metadata: Any) -> None:
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    path.write_bytes(b"before")
    monkeypatch.setattr("seamline.checkpoints.network_file.save_file", full)
    with pytest.raises(InvalidInput, match=r"No space left.*choose another place"):
        write_converted(path, converted)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"before"


def rewritten(path: Path, change: dict[str, Any], **tensors: torch.Tensor) -> None:
    with safe_open(path, framework="pt") as file:
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        says = {**json.loads(file.metadata()[FORMAT]), **change}
    save_file({**held, **tensors}, path, metadata={FORMAT: json.dumps(says)})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "builtins.eval"}, "is unknown"),
        ({"kind": ["perceptual"]}, "does not say what network"),
        ({"precision": "int8"}, "is unknown"),
        ({"extra": "1"}, "does not say what network"),
        ({"config": "width"}, "does not say what network"),
        ({"config": {"width": 8}}, "has shape"),
        ({"config": {"width": "8"}}, "perceptual config"),
        ({"config": {"depth": 8}}, "perceptual config"),
        ({"kind": "directions"}, "which is no network"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(
    change: dict[str, Any], reason: str, path: Path, converted: Converted
) -> None:
    write_converted(path, converted)
    rewritten(path, change)
    with pytest.raises(InvalidInput, match=reason) as caught:
        load_network(path)
    assert str(path) in str(caught.value)


def test_weights_that_are_no_numbers_are_refused(path: Path, converted: Converted) -> None:
    write_converted(path, converted)
    rewritten(path, {}, **{"lin0.model.1.weight": torch.full((1, 4, 1, 1), float("nan"))})
    with pytest.raises(InvalidInput, match=r"lin0\.model\.1\.weight holds NaN"):
        load_network(path)


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    with pytest.raises(NotFound, match="seamline bundles convert"):
        load_network(path)
    path.write_bytes(b"PK")
    with pytest.raises(InvalidInput, match="not a safetensors file"):
        load_network(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(InvalidInput, match="does not say what network"):
        describe(path)
