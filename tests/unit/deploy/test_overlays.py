"""Every overlay builds, fits together, and is as careful as its namespace demands."""

import os
import re

import pytest
import yaml

from tests.unit.deploy.manifests import (
    K8S,
    OVERLAYS,
    ROOT,
    SERVICES,
    built,
    containers,
    deployment,
    environment,
    of_kind,
    overlay,
    pod_labels,
    pod_spec,
    service_container,
)

pytestmark = pytest.mark.cluster

DIRECTORIES = [*(f"overlays/{name}" for name in OVERLAYS), "batch", "expiry"]
RECOMMENDED = ("name", "component", "part-of", "version")
CUSTOM = {"Certificate", "Issuer", "PodMonitor", "PrometheusRule", "ScaledObject"}
"""Kinds that a plain cluster does not know; docs/operations.md says what brings them."""
ON_GPU = {
    "gpu": {"inverter": "nvidia.com/gpu", "stitcher": "nvidia.com/gpu"},
    "gpu-mig": {
        "aligner": "nvidia.com/mig-1g.10gb",
        "inverter": "nvidia.com/mig-3g.40gb",
        "stitcher": "nvidia.com/mig-2g.20gb",
        "metrics": "nvidia.com/mig-1g.10gb",
    },
    "gpu-time-slicing": {
        "aligner": "nvidia.com/gpu.shared",
        "inverter": "nvidia.com/gpu",
        "stitcher": "nvidia.com/gpu",
        "metrics": "nvidia.com/gpu.shared",
    },
}


def workloads(directory):
    manifests = built(directory)
    found = [each for kind in ("Deployment", "Job", "CronJob") for each in of_kind(manifests, kind).values()]
    assert found
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_service_has_all_that_belongs_to_it(name):
    manifests = overlay(name)
    for kind in ("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
        assert {f"seamline-{service}" for service in SERVICES} <= set(of_kind(manifests, kind)), kind


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_selector_finds_the_pods_of_one_deployment(name):
    manifests = overlay(name)
    deployments = of_kind(manifests, "Deployment")
    selectors = {f"Deployment {key}": each["spec"]["selector"]["matchLabels"] for key, each in deployments.items()}
    selectors |= {f"Service {key}": each["spec"]["selector"] for key, each in of_kind(manifests, "Service").items()}
    for key, each in of_kind(manifests, "PodDisruptionBudget").items():
        selectors[f"PodDisruptionBudget {key}"] = each["spec"]["selector"]["matchLabels"]
    for owner, wanted in selectors.items():
        found = [key for key, each in deployments.items() if wanted.items() <= pod_labels(each).items()]
        assert found == [owner.split()[1]], owner


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_all_is_in_the_namespace_and_labelled(directory):
    for manifest in built(directory):
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "seamline", manifest["metadata"]["name"]
    for workload in workloads(directory):
        for labels in (workload["metadata"]["labels"], pod_labels(workload)):
            wanted = {f"app.kubernetes.io/{label}" for label in RECOMMENDED}
            if workload["metadata"]["name"] == "seamline-triton":
                wanted -= {"app.kubernetes.io/version"}
            assert wanted <= set(labels)


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_pods_are_restricted(directory):
    for workload in workloads(directory):
        spec = pod_spec(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"]["limits"])
            assert re.search(r":[\w.-]+$", container["image"]), container["image"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_has_longer_than_its_drain(name):
    manifests = overlay(name)
    for service in SERVICES:
        workload = deployment(manifests, service)
        container = service_container(workload)
        drain = float(environment(manifests, container)["SEAMLINE_DRAIN_SECONDS"])
        before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod_spec(workload)["terminationGracePeriodSeconds"] >= before + drain + 10


@pytest.mark.parametrize("name", OVERLAYS)
def test_probes_and_services_use_the_port_that_is_served(name):
    manifests = overlay(name)
    for service in SERVICES:
        container = service_container(deployment(manifests, service))
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        health = environment(manifests, container).get("SEAMLINE_HEALTH_PORT")
        assert ports == {"grpc": 50051, "metrics": 9090} | ({"health": int(health)} if health else {})
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["grpc"]["port"] == ports.get("health", ports["grpc"])
        service_object = of_kind(manifests, "Service")[f"seamline-{service}"]
        assert service_object["spec"]["clusterIP"] == "None"
        assert [port["port"] for port in service_object["spec"]["ports"]] == [50051]


@pytest.mark.parametrize(("name", "resources"), ON_GPU.items())
def test_gpus_are_asked_for_where_they_are_used(name, resources):
    manifests = overlay(name)
    for service in SERVICES:
        container = service_container(deployment(manifests, service))
        asked = {key: value for key, value in container["resources"]["limits"].items() if "nvidia" in key}
        wanted = {resources[service]: "1"} if service in resources else {}
        assert asked == wanted
        assert (environment(manifests, container).get("SEAMLINE_DEVICE") == "cuda") is bool(wanted)
        assert container["image"].endswith("-cuda") is bool(wanted)
        tolerated = [each["key"] for each in pod_spec(deployment(manifests, service)).get("tolerations", [])]
        assert tolerated == (["nvidia.com/gpu"] if wanted else [])


def test_claimed_gpus_exist():
    manifests = overlay("gpu-dra")
    templates, claims = of_kind(manifests, "ResourceClaimTemplate"), of_kind(manifests, "ResourceClaim")
    for service in SERVICES[:-1]:
        workload = deployment(manifests, service)
        (claim,) = pod_spec(workload)["resourceClaims"]
        assert claim.get("resourceClaimTemplateName") in templates or claim.get("resourceClaimName") in claims
        assert service_container(workload)["resources"]["claims"] == [{"name": claim["name"]}]


def test_every_component_is_in_an_overlay():
    described = [yaml.safe_load((K8S / "overlays" / name / "kustomization.yaml").read_text()) for name in OVERLAYS]
    used = {path.split("/")[-1] for each in described for path in each["components"]}
    assert used == {path.name for path in (K8S / "components").iterdir()}


def test_what_a_plain_cluster_does_not_know_is_in_the_docs():
    docs = (ROOT / "docs" / "operations.md").read_text()
    groups = {each["kind"]: each["apiVersion"].split("/")[0] for path in DIRECTORIES for each in built(path)}
    plain = ("v1", "apps", "batch", "policy", "autoscaling")
    custom = {kind for kind, group in groups.items() if group not in plain and not group.endswith(".k8s.io")}
    assert custom == CUSTOM
    assert all(f"`{kind}`" in docs for kind in custom)
    assert "ScaledObject" not in {each["kind"] for each in overlay("cpu")}


def test_the_cluster_has_the_rules_and_the_dashboard():
    manifests = overlay("gpu")
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules" / "seamline.yaml").read_text())
    remedy = "run deploy/k8s/components/prometheus-operator/make_rule.py"
    assert of_kind(manifests, "PrometheusRule")["seamline"]["spec"] == rules, remedy
    dashboard = of_kind(manifests, "ConfigMap")["seamline-dashboard"]
    assert dashboard["data"] == {"seamline.json": (ROOT / "deploy" / "grafana" / "seamline.json").read_text()}


def test_the_overlay_in_the_docs_is_one(tmp_path):
    docs = (ROOT / "docs" / "operations.md").read_text()
    (block,) = re.findall(r"\n       (resources:.*?)\n\n3\. ", docs, re.DOTALL)
    gpu = os.path.relpath(K8S / "overlays" / "gpu", tmp_path)
    text = re.sub(r"\n       ", "\n", block).replace("../gpu", gpu).replace("…", "0" * 64)
    (tmp_path / "kustomization.yaml").write_text(text)
    manifests = built(str(tmp_path))
    for service in SERVICES:
        variables = environment(manifests, service_container(deployment(manifests, service)))
        assert variables["SEAMLINE_STORE"] == "s3://bucket?region=eu-central-1"
    image = service_container(deployment(manifests, "editor"))["image"]
    assert image == "registry.example/seamline/seamline-editor@sha256:" + "0" * 64


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_every_skipped_policy_says_why(directory):
    for manifest in built(directory):
        for key, value in manifest["metadata"].get("annotations", {}).items():
            if key.startswith("checkov.io/skip"):
                check, _, reason = value.partition("=")
                assert re.fullmatch(r"CKV2?_K8S_\d+", check)
                assert len(reason.split()) >= 5
