"""Network policies, evaluated: what may talk to what, and nothing else."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.unit.deploy.manifests import STAGES, Manifest, built, deployment, of_kind, overlay, pod_labels

pytestmark = pytest.mark.cluster

NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What a policy sees of a pod."""

    labels: dict[str, str]
    namespace: dict[str, str] = field(default_factory=lambda: {NAMESPACE: "seamline"})
    ports: dict[str, int] = field(default_factory=dict)


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    assert all(each["operator"] == "In" for each in selector.get("matchExpressions", []))
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )


def is_peer(peer: Manifest, pod: Pod) -> bool:
    """Without a selector of namespaces, a peer is in the policy's own."""
    if "ipBlock" in peer:
        return False
    namespace = peer.get("namespaceSelector", {"matchLabels": {NAMESPACE: "seamline"}})
    return matches(namespace, pod.namespace) and matches(peer.get("podSelector", {}), pod.labels)


def is_open(policies: list[Manifest], direction: str, own: Pod, other: Pod, port: int, listener: Pod) -> bool:
    """Whether the policies of one end let the connection through in one direction (Ingress or Egress)."""
    applying: list[Any] = [
        each["spec"]
        for each in policies
        if direction in each["spec"]["policyTypes"]
        and own.namespace[NAMESPACE] == "seamline"
        and matches(each["spec"]["podSelector"], own.labels)
    ]
    rules = [rule for spec in applying for rule in spec.get(direction.lower(), [])]
    end = "from" if direction == "Ingress" else "to"
    return not applying or any(
        any(is_peer(peer, other) for peer in rule[end])
        and ("ports" not in rule or port in [listener.ports.get(each["port"], each["port"]) for each in rule["ports"]])
        for rule in rules
    )


def allowed(policies: list[Manifest], source: Pod, target: Pod, port: int) -> bool:
    return is_open(policies, "Egress", source, target, port, target) and is_open(
        policies, "Ingress", target, source, port, target
    )


def pods(name: str) -> dict[str, Pod]:
    manifests = overlay(name)
    ports = {"grpc": 50051, "metrics": 9090}
    found = {
        service: Pod(labels=pod_labels(deployment(manifests, service)), ports=ports) for service in (*STAGES, "editor")
    }
    found["batch"] = Pod(labels=pod_labels(of_kind(built("batch"), "Job")["seamline-batch"]))
    found["expiry"] = Pod(labels=pod_labels(of_kind(built("expiry"), "CronJob")["seamline-expiry"]))
    found["prometheus"] = Pod(labels={}, namespace={NAMESPACE: "monitoring"})
    found["store"] = Pod(labels={}, namespace={NAMESPACE: "object-store", "seamline.dev/object-store": "true"})
    found["dns"] = Pod(labels={"k8s-app": "kube-dns"}, namespace={NAMESPACE: "kube-system"})
    found["backend"] = Pod(labels={}, namespace={NAMESPACE: "backend", "seamline.dev/client": "true"})
    found["stranger"] = Pod(labels={}, namespace={NAMESPACE: "default"})
    return found


def edges(policies: list[Manifest], among: dict[str, Pod], port: int) -> set[tuple[str, str]]:
    """Which pairs may connect to a port, in or out of the namespace."""
    return {
        (a, b)
        for a, source in among.items()
        for b, target in among.items()
        if a != b
        and "seamline" in (source.namespace[NAMESPACE], target.namespace[NAMESPACE])
        and allowed(policies, source, target, port)
    }


@pytest.mark.parametrize("name", ["cpu", "gpu", "gpu-mtls", "gpu-triton"])
def test_the_edges_are_those_of_the_architecture(name):
    policies = [*of_kind(overlay(name), "NetworkPolicy").values(), *of_kind(built("batch"), "NetworkPolicy").values()]
    among = pods(name)
    ours = (*STAGES, "editor", "batch", "expiry")
    to_store = {(each, "store") for each in ours}
    calls = {("editor", stage) for stage in STAGES} | {("backend", "editor"), ("batch", "editor")}
    assert edges(policies, among, 50051) == calls | to_store
    assert edges(policies, among, 9090) == {("prometheus", each) for each in (*STAGES, "editor")} | to_store
    assert edges(policies, among, 53) == {(each, "dns") for each in ours} | to_store
    assert edges(policies, among, 22) == to_store
    assert edges(policies, among, 50052) == to_store  # the health port is the node's, which no policy keeps out


def test_the_services_reach_triton_and_nobody_else_does():
    manifests = overlay("gpu-triton")
    policies = list(of_kind(manifests, "NetworkPolicy").values())
    triton = Pod(labels=pod_labels(deployment(manifests, "triton")), ports={"grpc": 8001, "metrics": 8002})
    among = {**pods("gpu-triton"), "triton": triton}
    reach = {a for a, b in edges(policies, among, 8001) if b == "triton"}
    assert reach == {*STAGES, "editor"}
    assert {a for a, b in edges(policies, among, 8002) if b == "triton"} == {"prometheus"}


def test_addresses_inside_the_cluster_are_no_store_outside():
    (policy,) = (each for each in overlay("cpu") if each["metadata"]["name"] == "object-store")
    blocks = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert [set(block["except"]) >= {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} for block in blocks] == [True]
