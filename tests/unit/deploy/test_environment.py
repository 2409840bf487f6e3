"""What the manifests set is what the services read: nothing unknown, nothing wrong, nothing missing."""

import re
from importlib import import_module

import pytest
import yaml

from seamline.rpc.config import ServerConfig
from tests.unit.deploy.manifests import (
    OVERLAYS,
    ROOT,
    SERVICES,
    deployment,
    environment,
    of_kind,
    overlay,
    service_container,
)

COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())
GPU = yaml.safe_load((ROOT / "deploy" / "compose" / "gpu.yaml").read_text())


def config_of(service: str) -> type[ServerConfig]:
    return getattr(import_module(f"seamline_{service}.config"), f"{service.capitalize()}Config")


def variables_of(config: type[ServerConfig]) -> set[str]:
    """The names of all that a config reads."""
    names = {f"SEAMLINE_{name.upper()}" for name, field in config.model_fields.items() if not field.validation_alias}
    for field in config.model_fields.values():
        choices = getattr(field.validation_alias, "choices", [])
        names |= {choice for choice in choices if choice.startswith("SEAMLINE_")}
    return names


def check(service: str, variables: dict[str, str | None], monkeypatch: pytest.MonkeyPatch) -> ServerConfig:
    """Reads the config from exactly these variables, as the service would."""
    config = config_of(service)
    ours = {name: value for name, value in variables.items() if name.startswith("SEAMLINE_")}
    assert set(ours) <= variables_of(config)
    for name in variables_of(config):
        monkeypatch.delenv(name, raising=False)
    for name, value in ours.items():
        monkeypatch.setenv(name, "1" if value is None else value)
    return config.read()


@pytest.mark.cluster
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", OVERLAYS)
def test_overlays_set_what_services_read(name, service, monkeypatch):
    manifests = overlay(name)
    check(service, environment(manifests, service_container(deployment(manifests, service))), monkeypatch)


@pytest.mark.parametrize("service", SERVICES)
def test_compose_sets_what_services_read(service, monkeypatch):
    described = COMPOSE["services"][service]
    plain = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in described["environment"].items()}
    gpu = GPU["services"].get(service, {}).get("environment", {})
    config = check(service, plain | gpu, monkeypatch)
    assert float(described["stop_grace_period"].removesuffix("s")) >= config.drain_seconds + 10


def test_an_unknown_variable_is_found(monkeypatch):
    with pytest.raises(AssertionError):
        check("aligner", {"SEAMLINE_STORE": "file:///x", "SEAMLINE_STOER": "file:///x"}, monkeypatch)


def test_a_wrong_value_is_found(monkeypatch):
    with pytest.raises(SystemExit, match="SEAMLINE_DRAIN_SECONDS"):
        check("aligner", {"SEAMLINE_STORE": "file:///x", "SEAMLINE_DRAIN_SECONDS": "soon"}, monkeypatch)


@pytest.mark.cluster
def test_the_overlay_with_triton_has_every_service_ask_it(monkeypatch):
    manifests = overlay("gpu-triton")
    for service in SERVICES:
        config = check(service, environment(manifests, service_container(deployment(manifests, service))), monkeypatch)
        host, _, port = config.triton.rpartition(":")
        served = of_kind(manifests, "Service")[host]["spec"]["ports"]
        assert [each["port"] for each in served] == [int(port)]
    assert not check(
        "aligner", environment(overlay("gpu"), service_container(deployment(overlay("gpu"), "aligner"))), monkeypatch
    ).triton
