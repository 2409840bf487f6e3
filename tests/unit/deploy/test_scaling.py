"""Autoscalers ask for metrics that exist, of deployments that exist, and give a replica its time to drain."""

import re

import pytest
from prometheus_client import REGISTRY

import seamline.rpc.metrics  # noqa: F401  (declares them)
from seamline.rpc.steps import SERVICES as STAGES_BY_SERVICE
from tests.unit.deploy.manifests import STAGES, of_kind, overlay, pod_spec

pytestmark = pytest.mark.cluster

STAGES_OF = {service: set(STAGES_BY_SERVICE[f"seamline.v1.{service.capitalize()}Service"]) for service in STAGES}
METRIC = re.compile(r"\b(?:seamline|grpc)_\w+")


def known_metrics():
    """The names under which Prometheus sees what the services declare."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""], "info": ["_info"]}
    return {family.name + end for family in REGISTRY.collect() for end in endings.get(family.type, [""])}


def test_keda_asks_for_metrics_that_exist_of_the_stage_that_it_scales():
    manifests = overlay("gpu")
    objects = of_kind(manifests, "ScaledObject")
    assert set(objects) == {f"seamline-{service}" for service in STAGES_OF}
    for name, scaled in objects.items():
        spec = scaled["spec"]
        assert spec["scaleTargetRef"]["name"] == name
        (trigger,) = spec["triggers"]
        query = trigger["metadata"]["query"]
        assert set(METRIC.findall(query)) <= known_metrics()
        assert METRIC.findall(query)
        (stages,) = set(re.findall(r'stage=~?"([\w|]+)"', query))
        assert set(stages.split("|")) == STAGES_OF[name.removeprefix("seamline-")]
        assert set(re.findall(r'namespace="(\w+)"', query)) == {"seamline"}
        assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]


@pytest.mark.parametrize(("name", "kind"), [("gpu", "ScaledObject"), ("cpu", "HorizontalPodAutoscaler")])
def test_a_replica_drains_before_the_next_goes(name, kind):
    manifests = overlay(name)
    for scaled in of_kind(manifests, kind).values():
        spec = scaled["spec"]
        advanced = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", spec)
        (policy,) = advanced["behavior"]["scaleDown"]["policies"]
        target = of_kind(manifests, "Deployment")[spec["scaleTargetRef"]["name"]]
        assert policy["value"] == 1
        assert policy["periodSeconds"] >= pod_spec(target)["terminationGracePeriodSeconds"]
        assert "replicas" not in target["spec"], "the number is the autoscaler's"
