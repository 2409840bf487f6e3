"""Every frozen network of a bundle through `seamline bundles export`, run by onnxruntime beside the bundle itself."""

import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner

from seamline.cli.bundles import bundles_app
from seamline.exporting.bundle import signature_of
from seamline.exporting.signatures import MODELS, draw
from tests.fakes.bundle import NAME, tiny_bundle


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("exports")
    bundle = tiny_bundle(root / "bundles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEAMLINE_BUNDLES", str(root / "bundles"))
        result = CliRunner().invoke(bundles_app, ["export", NAME, "-o", str(root / "out")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return bundle, root / "out", result.output


def test_one_file_for_each_network_and_nothing_else(exported) -> None:
    _, out, printed = exported
    assert {path.name for path in out.iterdir()} == {f"{name}.onnx" for name in MODELS}
    assert all(f"{name}.onnx" in printed for name in MODELS)
    assert "at most 1e-04" in " ".join(printed.split())


@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_the_networks_numbers(exported, name) -> None:
    bundle, out, _ = exported
    signature = signature_of(bundle, name)
    session = onnxruntime.InferenceSession(out / f"{name}.onnx", providers=["CPUExecutionProvider"])
    inputs = draw(signature, 4, 2)  # neither the batch nor the sides of the export's own check
    feeds = {port.name: tensor.numpy() for port, tensor in zip(signature.inputs, inputs, strict=True)}
    (found,) = session.run([signature.output.name], feeds)
    wanted = bundle.model(name)(*inputs).numpy()
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
    told = {each.key: each.value for each in onnx.load(out / f"{name}.onnx").metadata_props}
    assert told["seamline.weights_sha256"] == bundle.manifest.networks[MODELS[name].kind].sha256
    assert told["seamline.licence"] == "CC0-1.0"
