"""A bundle as a Triton model repository, and its python models run as the server runs them."""

import importlib.util
import json
import sys

import pytest
import torch
from google.protobuf.json_format import MessageToDict
from typer.testing import CliRunner

from seamline.bundles import put_defaults
from seamline.cli.triton import triton_app
from seamline.errors import InvalidInput, Precondition
from seamline.exporting.bundle import signature_of
from seamline.exporting.signatures import MODELS, draw
from seamline.triton import Backend, Serving, write_repository
from tests.fakes.bundle import NAME, tiny_bundle
from tests.fakes.triton_backend import Request, backend_module, parsed


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def repository(bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    serving = Serving(instances=2, max_batch=8, queue_delay=0.001)
    assert len(list(write_repository(bundle, path, Backend.PYTHON, serving))) == len(MODELS)
    return path


def configuration(repository, name):
    return parsed((repository / f"{NAME}.{name}" / "config.pbtxt").read_text())


def started(repository, name, bundle, monkeypatch):
    """The model as the server starts it: from its file and its configuration."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend_module())
    monkeypatch.delitem(sys.modules, "seamline.triton.python_model", raising=False)
    monkeypatch.setenv("SEAMLINE_BUNDLES", str(bundle.directory.parent))
    directory = repository / f"{NAME}.{name}"
    spec = importlib.util.spec_from_file_location("model", directory / "1" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = MessageToDict(configuration(repository, name), preserving_proto_field_name=True)
    parameters = {each["key"]: each["value"] for each in found["parameters"]}  # a map, in the server's JSON
    model = module.TritonPythonModel()
    config = json.dumps(found | {"parameters": parameters})
    kind = {"model_instance_kind": "CPU", "model_instance_device_id": "0", "model_name": directory.name}
    model.initialize({"model_config": config} | kind)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_configuration_says_what_the_model_takes_and_gives(repository, bundle, name) -> None:
    found, signature = configuration(repository, name), signature_of(bundle, name)
    assert found.name == f"{NAME}.{name}"
    assert (found.backend, found.max_batch_size) == ("python", 8)
    assert found.dynamic_batching.max_queue_delay_microseconds == 1000
    assert [group.count for group in found.instance_group] == [2]
    assert [port.name for port in found.input] == [port.name for port in signature.inputs]
    assert [port.name for port in found.output] == [signature.output.name]
    for port, tensor in zip(found.input, draw(signature, 1, 0), strict=True):
        assert len(port.dims) == tensor.ndim - 1
        assert all(side in (-1, real) for side, real in zip(port.dims, tensor.shape[1:], strict=True))
    told = {each.key: each.value.string_value for each in found.parameters}
    assert told["weights_sha256"] == bundle.manifest.networks[MODELS[name].kind].sha256
    assert told["bundle_sha256"] == bundle.digest


def test_a_number_for_each_row_is_reshaped_as_the_server_asks(repository) -> None:
    (distance,) = configuration(repository, "perceptual").output
    assert list(distance.dims) == [1]
    assert distance.HasField("reshape")
    assert not distance.reshape.shape


@pytest.mark.parametrize("name", ["e4e", "detector", "clip_text", "latent_transformer", "perceptual"])
def test_requests_that_were_batched_get_their_own_rows(repository, bundle, name, monkeypatch) -> None:
    model, signature = started(repository, name, bundle, monkeypatch), signature_of(bundle, name)
    inputs = draw(signature, 5, 0)
    named = {port.name: tensor for port, tensor in zip(signature.inputs, inputs, strict=True)}
    parts = [{key: tensor[rows] for key, tensor in named.items()} for rows in (slice(0, 2), slice(2, 5))]
    first, second = model.execute([Request(part) for part in parts])
    assert first.error is None
    found = torch.cat([first.output_tensors[0].content, second.output_tensors[0].content])
    assert [len(each.output_tensors[0].content) for each in (first, second)] == [2, 3]
    torch.testing.assert_close(found, bundle.model(name)(*inputs), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_run_is_answered(repository, bundle, monkeypatch) -> None:
    model = started(repository, "e4e", bundle, monkeypatch)
    (answer,) = model.execute([Request({"images": torch.zeros(1, 3, 32, 32)})])
    assert "expected shape" in str(answer.error)
    assert not answer.output_tensors


def test_another_bundle_than_the_exported_one_is_not_served(tmp_path, monkeypatch) -> None:
    bundle = tiny_bundle(tmp_path / "bundles")
    list(write_repository(bundle, tmp_path / "models", Backend.PYTHON, Serving(), ["attributes"]))
    put_defaults(bundle.directory, "invert", {"max_passes": 1})
    with pytest.raises(Precondition, match=r"tiny-64\.attributes was made of bundle tiny-64 .*triton export again"):
        started(tmp_path / "models", "attributes", bundle, monkeypatch)


def test_the_command_writes_what_is_asked(bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEAMLINE_BUNDLES", str(bundle.directory.parent))
    asked = ["export", NAME, "-o", str(tmp_path), "--backend", "python", "--kind", "e4e"]
    asked += ["--instances", "3", "--no-joined"]
    result = CliRunner().invoke(triton_app, asked, catch_exceptions=False)
    assert result.exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.e4e"]
    found = configuration(tmp_path, "e4e")
    assert found.instance_group[0].count == 3
    assert not found.HasField("dynamic_batching")


@pytest.mark.parametrize("wrong", [{"instances": 0}, {"max_batch": 0}, {"queue_delay": -1.0}])
def test_wrong_serving_is_named(wrong) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Serving(**wrong)
