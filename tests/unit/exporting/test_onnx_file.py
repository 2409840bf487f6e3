"""Writing ONNX files, with a network that takes no time to export."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from seamline.errors import Precondition
from seamline.exporting import onnx_file
from seamline.exporting.onnx_file import OPSET, write_onnx
from seamline.exporting.signatures import Port, Side, Signature

SIDES = (Side(name="height", multiple=4), Side(name="width", multiple=4))
SIGNATURE = Signature(
    inputs=(Port(name="images", shape=(3, *SIDES), meaning="RGB in [-1, 1]"),),
    output=Port(name="means", shape=(8,), meaning="of what it sees"),
)
PROPERTIES = {"kind": "means", "weights_sha256": "0" * 64}


class Mean(nn.Module):
    """Pictures to the means of their channels, twice as large."""

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return means + means


class Means(nn.Module):
    """Picture to eight numbers; `off` makes its graph differ from what it computes itself."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.conv, self.off = nn.Conv2d(3, 8, 3, padding=1), off
        self.means = Mean()  # named as the output is, which the file must keep apart

    def forward(self, images: Tensor) -> Tensor:
        means = self.means(self.conv(images).relu())
        return means if torch.compiler.is_exporting() else means * (1 + self.off)


@pytest.fixture(scope="module")
def network() -> Means:
    torch.manual_seed(0)
    return Means().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def written(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "made" / "means.onnx"
    return path, write_onnx(network, SIGNATURE, path, PROPERTIES)


def test_a_file_computes_what_the_network_does_for_any_batch_and_side(written, network) -> None:
    path, errors = written
    assert set(errors) == {1, 3}
    assert max(errors.values()) < 1e-5
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = torch.rand(5, 3, 20, 8) * 2 - 1
    (found,) = session.run(["means"], {"images": images.numpy()})
    np.testing.assert_allclose(found, network(images).numpy(), rtol=1e-4, atol=1e-6)


def test_a_file_says_what_it_is(written) -> None:
    model = onnx.load(written[0])
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    told = {each.key: each.value for each in model.metadata_props}
    assert told["seamline.kind"] == "means"
    assert told["seamline.weights_sha256"] == "0" * 64
    (images,) = json.loads(told["seamline.inputs"])
    assert images["meaning"] == "RGB in [-1, 1]"
    assert images["shape"] == [3, *({"name": side.name, "multiple": 4} for side in SIDES)]
    assert json.loads(told["seamline.output"])["name"] == "means"
    axes = [axis.dim_param or axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", 3, "height", "width"]


def test_a_file_tells_nothing_of_the_machine_that_made_it(written) -> None:
    content = written[0].read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_the_same_network_gives_the_same_bytes(written, network, tmp_path) -> None:
    write_onnx(network, SIGNATURE, tmp_path / "again.onnx", PROPERTIES)
    assert (tmp_path / "again.onnx").read_bytes() == written[0].read_bytes()


@pytest.mark.parametrize("off", [1e-3, float("nan")])
def test_a_file_that_differs_is_not_written_and_what_was_there_stays(off, tmp_path) -> None:
    path = tmp_path / "means.onnx"
    path.write_bytes(b"before")
    with pytest.raises(Precondition, match=r"means\.onnx: onnxruntime and torch differ by .* nothing was written"):
        write_onnx(Means(off).eval(), SIGNATURE, path, PROPERTIES)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_large_weights_lie_beside_the_file(network, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST_FILE", 100)
    path = tmp_path / "means.onnx"
    write_onnx(network, SIGNATURE, path, PROPERTIES)
    assert {each.name for each in tmp_path.iterdir()} == {"means.onnx", "means.onnx.data"}
    assert (tmp_path / "means.onnx.data").stat().st_size >= 8 * 3 * 9 * 4
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_a_missing_package_is_named_with_the_command_that_installs_it(network, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(Precondition, match=r"onnxscript: pip install 'seamline\[onnx\]'"):
        write_onnx(network, SIGNATURE, tmp_path / "means.onnx", PROPERTIES)
    assert not list(tmp_path.iterdir())


class Signs(nn.Module):
    """Which side of zero each pixel is on, as labels; `off` moves the border outside of the graph."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.off = off

    def forward(self, images: Tensor) -> Tensor:
        border = 0.0 if torch.compiler.is_exporting() else self.off
        return (images[:, :1] > border).float() * 18


def test_of_labels_the_share_that_differs_counts(tmp_path):
    output = Port(name="classes", shape=(1, *SIDES), meaning="of every pixel", labels=True)
    signature = Signature(inputs=SIGNATURE.inputs, output=output)
    assert set(write_onnx(Signs(), signature, tmp_path / "signs.onnx", PROPERTIES).values()) == {0.0}
    with pytest.raises(Precondition, match="differ by"):
        write_onnx(Signs(off=0.2), signature, tmp_path / "moved.onnx", PROPERTIES)
    assert not (tmp_path / "moved.onnx").exists()
