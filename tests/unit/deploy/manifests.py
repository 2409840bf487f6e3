"""The manifests of deploy/, as kustomize builds them: tests that ask for them are marked `cluster`."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
K8S = ROOT / "deploy" / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
STAGES = ("aligner", "inverter", "stitcher", "metrics")
SERVICES = (*STAGES, "editor")

Manifest = dict[str, Any]


def kustomize() -> list[str]:
    """The command that builds a kustomization."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    pytest.fail(
        "this test needs kubectl 1.27 or kustomize 5.0, or newer: see https://kubernetes.io/docs/tasks/tools/",
        pytrace=False,
    )


@cache
def built(directory: str) -> list[Manifest]:
    """All objects of a directory below deploy/k8s."""
    done = subprocess.run([*kustomize(), K8S / directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns"
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def overlay(name: str) -> list[Manifest]:
    """All objects of an overlay."""
    return built(f"overlays/{name}")


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The objects of one kind, by name."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def deployment(manifests: list[Manifest], service: str) -> Manifest:
    """One service's Deployment."""
    return of_kind(manifests, "Deployment")[f"seamline-{service}"]


def pod_spec(workload: Manifest) -> Manifest:
    """The pods of a Deployment, Job or CronJob."""
    return _template(workload)["spec"]


def pod_labels(workload: Manifest) -> dict[str, str]:
    """The labels of its pods."""
    return _template(workload)["metadata"]["labels"]


def _template(workload: Manifest) -> Manifest:
    spec = workload["spec"]
    return spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec["template"]


def service_container(workload: Manifest) -> Manifest:
    """The container that serves."""
    (container,) = pod_spec(workload)["containers"]
    return container


def containers(workload: Manifest) -> Iterator[Manifest]:
    """Every container, those that only prepare included."""
    yield from pod_spec(workload).get("initContainers", [])
    yield from pod_spec(workload)["containers"]


def environment(manifests: list[Manifest], container: Manifest) -> dict[str, str | None]:
    """A container's variables; None where only the cluster knows the value."""
    variables: dict[str, str | None] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            variables |= of_kind(manifests, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    return variables | {each["name"]: each.get("value") for each in container.get("env", [])}
