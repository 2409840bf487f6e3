"""The services of one machine are held as those of a cluster are."""

import re

import pytest

from tests.unit.deploy.manifests import ROOT, SERVICES
from tests.unit.deploy.test_environment import COMPOSE, GPU


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_restricted_and_built_here(service):
    described = COMPOSE["services"][service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["user"] == "65532:65532"
    assert described["build"]["target"] == service
    assert (ROOT / "deploy" / "compose" / described["build"]["context"] / described["build"]["dockerfile"]).exists()
    assert described["healthcheck"]["test"][-1] == "/app/probe.py"


def test_every_image_is_pinned():
    for name, described in COMPOSE["services"].items():
        assert re.search(r":(v?\d+\.\d+[\w.-]*|\$\{TAG:-[\d.]+\})$", described["image"]), name


def test_ports_are_open_to_this_machine_only():
    ports = [port for described in COMPOSE["services"].values() for port in described.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_is_mounted_is_described():
    for name, described in COMPOSE["services"].items():
        for config in described.get("configs", []):
            assert COMPOSE["configs"][config["source"]]["content"], name
        for volume in described.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith(".") or source in COMPOSE["volumes"], name


def test_gpus_are_given_to_services_that_exist():
    assert set(GPU["services"]) <= set(COMPOSE["services"])
