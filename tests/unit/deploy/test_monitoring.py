"""Dashboard, rules, runbooks and the page on metrics against what the services really export."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from deploy.grafana import dashboard
from seamline.rpc import metrics
from seamline.rpc.gpu import GpuCollector

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "monitoring.md"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = ROOT / "deploy" / "prometheus" / "rules"
OWN = {name: metric for name, metric in vars(metrics).items() if isinstance(metric, MetricWrapperBase)}

SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
    "summary": ("", "_count", "_sum"),
}
FROM_THE_SCRAPE = {"job", "instance", "namespace", "app_kubernetes_io_component", "le"}
KEYWORDS = {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "inf", "nan"}
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"


def rules() -> list[dict[str, Any]]:
    groups = [group for file in sorted(RULES.glob("*.yaml")) for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def exported() -> set[str]:
    """Every name that a service's metrics, or a recording rule, can have in Prometheus."""
    families = [*REGISTRY.collect(), *GpuCollector("cuda").describe()]
    names = {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}
    return names | {rule["record"] for rule in rules() if "record" in rule} | {"up"}


def labels() -> set[str]:
    own = {label for metric in OWN.values() for label in metric._labelnames}
    return own | FROM_THE_SCRAPE | {"device", "service", "version"}


def metrics_in(query: str) -> set[str]:
    """The metrics that a PromQL query selects."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(GROUPING, " ", bare)
    words = re.findall(r"(?<![\w.$:])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])", bare)
    return {word for word in words if word.lower() not in KEYWORDS}


def labels_in(query: str) -> set[str]:
    """The labels that a PromQL query matches or groups by."""
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    grouped = [label.strip() for group in re.findall(GROUPING, query) for label in group.split(",")]
    return {label for label in (*matched, *grouped) if label}


def queries() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of everything that is shipped."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in json.loads(dashboard.FILE.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for file in sorted((ROOT / "deploy" / "k8s").rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            yield from _scaling_queries(file, document)


def _scaling_queries(file: Path, document: Any) -> Iterator[tuple[str, str]]:
    if (document or {}).get("kind") == "ScaledObject":
        for trigger in document["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                yield file.name, trigger["metadata"]["query"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_only_metrics_and_labels_that_exist_are_asked_for(where: str, query: str) -> None:
    found = metrics_in(query)
    assert found
    assert found - exported() == set()
    assert labels_in(query) - labels() == set()


def test_the_parser_sees_names_wherever_they_stand() -> None:
    query = (
        'sum by (stage) (rate(a_total{x="b_c"}[5m])) / on (k) group_left c:d > 2 * avg_over_time(e[1d] offset 1h) or f'
    )
    assert metrics_in(query) == {"a_total", "c:d", "e", "f"}
    assert labels_in(query) == {"stage", "x", "k"}


def test_the_committed_dashboard_is_what_the_program_writes() -> None:
    assert dashboard.FILE.read_text() == dashboard.text(), "run: python deploy/grafana/dashboard.py"


def test_no_two_panels_share_a_place() -> None:
    places = [panel["gridPos"] for panel in dashboard.dashboard()["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < dashboard.COLUMNS


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_a_runbook_and_a_test(alert: str) -> None:
    rule = alerts()[alert]
    assert rule["labels"]["severity"] in ("warning", "critical")
    page = (ROOT / rule["annotations"]["runbook_url"]).read_text()
    assert re.findall(r"^#+ (.*)$", page, re.M) == [alert, "Meaning", "Look at", "Do"]
    tests = yaml.safe_load((ROOT / "deploy/prometheus/tests/seamline.yaml").read_text())["tests"]
    tried = [case for test in tests for case in test.get("alert_rule_test", ()) if case["alertname"] == alert]
    assert {bool(case.get("exp_alerts")) for case in tried} >= {True}


def test_every_runbook_has_an_alert_and_stands_on_the_page() -> None:
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == set(alerts())
    linked = set(re.findall(r"\(runbooks/(\w+)\.md\)", PAGE.read_text()))
    assert linked == set(alerts())


def rows() -> list[str]:
    """A line of the page's table for every metric."""
    found = [(m._name, m._type, m._labelnames, m._documentation) for m in OWN.values()]
    found += [(f.name, f.type, ("device",), f.documentation) for f in GpuCollector("cuda").describe()]
    return [
        f"| `{name}{SUFFIXES[kind][0] if kind in ('counter', 'info') else ''}"
        f"{'{' + ','.join(names) + '}' if names else ''}` | {kind} | {meaning} |"
        for name, kind, names, meaning in found
    ]


def test_the_page_lists_every_metric_with_its_meaning() -> None:
    listed = [line for line in PAGE.read_text().splitlines() if re.match(r"\| `(seamline|grpc)_", line)]
    assert sorted(listed) == sorted(rows())


def test_names_say_their_unit_and_counters_that_they_count() -> None:
    units = ("seconds", "bytes", "decibels", "ratio")
    for metric in OWN.values():
        if metric._type == "histogram" and metric._name.startswith("seamline_"):
            unitless = ("seamline_final_loss", "seamline_identity_score", "seamline_seam_error")
            assert metric._name.endswith(units) or metric._name in unitless, metric._name
    for family in GpuCollector("cuda").describe():
        assert family.name.endswith(units)
