"""What runs in a process, and whether it is the same in all replicas."""

import hashlib
import pkgutil
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path

import torch

from seamline import v1
from seamline.diagnosis.bundle import bundle_digest
from seamline.diagnosis.check import fault, ok, warning
from seamline.rpc.gpu import driver_version
from seamline.v1.diagnostics_pb2 import Check, ServiceReport

SUBJECT = "versions"


def versions_here(bundle: str, search: Path | None) -> dict[str, str]:
    """The versions of this process, by name: those of programs, and digests of the contract and of a bundle."""
    found = {
        "seamline": metadata.version("seamline"),
        "contract": contract_digest(),
        "bundle": bundle_digest(bundle, search),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "driver": driver_version(),
    }
    return {name: version for name, version in found.items() if version}


def contract_digest() -> str:
    """Hex digest of the messages and services of seamline.v1."""
    names = sorted(module.name for module in pkgutil.iter_modules(v1.__path__) if module.name.endswith("_pb2"))
    files = [import_module(f"{v1.__name__}.{name}").DESCRIPTOR.serialized_pb for name in names]
    return hashlib.sha256(b"".join(files)).hexdigest()


def compare_versions(reports: Sequence[ServiceReport]) -> list[Check]:
    """What differs between replicas that must not, or should not; one line if nothing does."""
    answered = [report for report in reports if report.versions]
    found = []
    if len(digests := _replicas_by(answered, "bundle")) > 1:
        remedy = "install the same bundle everywhere; until then an edit fails when it meets both"
        found.append(fault(SUBJECT, f"the bundle differs: {_told(digests)}", remedy))
    for name in ("seamline", "contract", "torch"):
        if len(versions := _replicas_by(answered, name)) > 1:
            remedy = "end the rollout: all services are to run images of one build"
            found.append(warning(SUBJECT, f"{name} differs: {_told(versions)}", remedy))
    if found or not answered:
        return found
    here = answered[0].versions
    same = f"seamline {here['seamline']}, torch {_public(here['torch'])}, contract and bundle"
    return [ok(SUBJECT, f"{same} are the same in {len(answered)} replicas")]


def _replicas_by(reports: Sequence[ServiceReport], name: str) -> Mapping[str, list[str]]:
    """Replicas by their version of something, the most frequent version first."""
    found: dict[str, list[str]] = defaultdict(list)
    for report in reports:
        if name in report.versions:
            found[_public(report.versions[name])].append(f"{report.service} {report.endpoint}".strip())
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _public(version: str) -> str:
    """Without the build, as torch for CPUs and for GPUs are meant to work side by side; of digests, the beginning."""
    return version.partition("+")[0][:12]


def _told(replicas: Mapping[str, list[str]]) -> str:
    (most, common), *others = replicas.items()
    told = [f"{version} in {', '.join(where)}" for version, where in others]
    return f"{'; '.join(told)}; {most} in the other {len(common)}"
