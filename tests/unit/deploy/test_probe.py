"""Where an image's own probe asks."""

import importlib.util

import pytest

from tests.unit.deploy.manifests import ROOT


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, "127.0.0.1:50051"),
        ({"SEAMLINE_PORT": "6000"}, "127.0.0.1:6000"),
        ({"SEAMLINE_PORT": "6000", "SEAMLINE_HEALTH_PORT": "6001"}, "127.0.0.1:6001"),
    ],
)
def test_the_probe_asks_the_port_that_speaks_plaintext(
    variables: dict[str, str], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SEAMLINE_PORT", "SEAMLINE_HEALTH_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("probe", ROOT / "deploy" / "images" / "probe.py")
    assert spec is not None
    assert spec.loader is not None
    probe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(probe)
    assert probe.endpoint_here() == endpoint
