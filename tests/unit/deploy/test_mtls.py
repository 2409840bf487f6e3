"""The overlay with TLS on both ends: certificates for the names by which services call, and files where they look."""

import pytest

from tests.unit.deploy.manifests import (
    SERVICES,
    STAGES,
    Manifest,
    deployment,
    environment,
    of_kind,
    overlay,
    pod_spec,
    service_container,
)

pytestmark = pytest.mark.cluster

OVERLAY = "gpu-mtls"
FILES = (
    "SEAMLINE_TLS_CERTIFICATE",
    "SEAMLINE_TLS_KEY",
    "SEAMLINE_TLS_CLIENT_CA",
    "SEAMLINE_TLS_CA",
    "SEAMLINE_CLIENTS",
)
ISSUED = {"tls.crt", "tls.key", "ca.crt"}
"""What cert-manager puts into a Secret."""


def variables(service: str) -> dict[str, str | None]:
    manifests = overlay(OVERLAY)
    return environment(manifests, service_container(deployment(manifests, service)))


def certificates() -> dict[str, Manifest]:
    return of_kind(overlay(OVERLAY), "Certificate")


def source_of(service: str, path: str) -> tuple[str, str]:
    """The Secret and the key in it that a container finds at a path."""
    workload = deployment(overlay(OVERLAY), service)
    directory, _, name = path.rpartition("/")
    (mount,) = (each for each in service_container(workload)["volumeMounts"] if each["mountPath"] == directory)
    assert mount["readOnly"] is True
    (volume,) = (each for each in pod_spec(workload)["volumes"] if each["name"] == mount["name"])
    assert volume["secret"]["defaultMode"] == 0o440
    return volume["secret"]["secretName"], name


@pytest.mark.parametrize("service", SERVICES)
def test_the_files_that_a_service_reads_are_those_of_its_own_certificate(service: str) -> None:
    found = {name: source_of(service, path) for name, path in variables(service).items() if name in FILES and path}
    secret = certificates()[f"seamline-{service}"]["spec"]["secretName"]
    for name, (where, key) in found.items():
        assert (where, key) == ("seamline-clients", "clients.toml") or (where == secret and key in ISSUED), name
    assert set(FILES[:2]) <= set(found)
    assert len({each["spec"]["secretName"] for each in certificates().values()}) == len(SERVICES) + 1


def test_the_editor_calls_stages_by_names_that_are_in_their_certificates() -> None:
    for stage in STAGES:
        endpoint = variables("editor")[f"SEAMLINE_{stage.upper()}"] or ""
        name = endpoint.removeprefix("dns:///").rpartition(":")[0]
        assert name in certificates()[f"seamline-{stage}"]["spec"]["dnsNames"]
    assert variables("editor")["SEAMLINE_TLS_CA"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lets_in_the_editor_and_nobody_else_of_the_authority(stage: str) -> None:
    own = variables(stage)
    assert own["SEAMLINE_TLS_CLIENT_CA"]
    wanted = own["SEAMLINE_TLS_CLIENT_NAMES"]
    allowed = [name for name, each in certificates().items() if wanted in each["spec"].get("dnsNames", [])]
    assert allowed == ["seamline-editor"]
    assert "client auth" in certificates()["seamline-editor"]["spec"]["usages"]


def test_the_editor_asks_its_clients_for_tokens_and_not_for_certificates() -> None:
    own = variables("editor")
    assert own["SEAMLINE_CLIENTS"]
    assert "SEAMLINE_TLS_CLIENT_CA" not in own


def test_every_certificate_has_an_issuer_that_exists_and_is_renewed_in_time() -> None:
    issuers = of_kind(overlay(OVERLAY), "Issuer")
    assert issuers["seamline"]["spec"]["ca"]["secretName"] == certificates()["seamline-ca"]["spec"]["secretName"]
    for each in certificates().values():
        spec = each["spec"]
        assert spec["issuerRef"]["name"] in issuers
        assert int(spec["duration"][:-1]) > 2 * int(spec["renewBefore"][:-1])
        assert ("server auth" in spec.get("usages", [])) is not spec.get("isCA", False)
