"""Checks every overlay as far as can be done without a cluster.

    make lint-deploy

Each directory of overlays/, batch/ and expiry/ is built by kustomize, validated strictly against the schemas of
Kubernetes, and scanned by checkov; so is the Dockerfile. Schemas are not known of a few custom kinds, which are named
here and in docs/operations.md; any other warning is an error. A policy is skipped by an annotation that says why, on
the object.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

K8S = Path(__file__).resolve().parent
DOCKERFILE = K8S.parent / "images" / "Dockerfile"
BIN = Path(sys.executable).parent
KUBERNETES = "1.34"
CUSTOM = ("ScaledObject", "PodMonitor", "PrometheusRule", "Certificate", "Issuer")
SKIPPED = {
    "CKV_DOCKER_7": "the base is an argument, with tag and digest: tests/unit/deploy sees to it",
    "CKV_DOCKER_2": "HEALTHCHECK is Docker's alone: Kubernetes has its gRPC probes, Compose its healthcheck",
}
"""Policies of Dockerfiles that are not followed, and why."""


def build(directory: Path, target: Path) -> None:
    """Writes a kustomization's objects to a file. Raises SystemExit if it does not build or kustomize warns."""
    try:
        done = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit("kubectl is missing (1.27 or newer): https://kubernetes.io/docs/tasks/tools/") from None
    if done.returncode or done.stderr:
        raise SystemExit(f"{directory}: {done.stderr}")
    target.write_text(done.stdout)


def validate(manifests: Path) -> list[str]:
    """What the schemas have against the objects of a file."""
    command = [BIN / "kubernetes-validate", "-k", KUBERNETES, "--strict", manifests]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    unknown = [f"Couldn't find schema for kind {kind} " for kind in CUSTOM]
    faults = [line for line in lines if not line.startswith("INFO") and not any(each in line for each in unknown)]
    return faults or ([f"{manifests.name}: status {done.returncode}"] if done.returncode else [])


def scan(framework: str, *arguments: str | Path) -> bool:
    """Whether checkov is content; it prints what it found."""
    command = [BIN / "checkov", "--framework", framework, "--skip-download", "--compact", "--quiet", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    directories = [*sorted((K8S / "overlays").iterdir()), K8S / "batch", K8S / "expiry"]
    with tempfile.TemporaryDirectory() as built:
        faults = []
        for directory in directories:
            manifests = Path(built) / f"{directory.name}.yaml"
            build(directory, manifests)
            found = validate(manifests)
            print(f"{directory.name}: {len(found)} faults", *found, sep="\n  ")
            faults += found
        content = scan("kubernetes", "--directory", built)
    content &= scan("dockerfile", "--file", DOCKERFILE, "--skip-check", ",".join(SKIPPED))
    return int(bool(faults) or not content)


if __name__ == "__main__":
    sys.exit(main())
