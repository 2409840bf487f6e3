"""Writes prometheusrule.yaml from deploy/prometheus/rules: run it when they change, a test compares the two."""

from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RULES = HERE.parents[2] / "prometheus" / "rules" / "seamline.yaml"
TARGET = HERE / "prometheusrule.yaml"


def prometheus_rule() -> dict[str, Any]:
    """The rules as the Prometheus operator takes them."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "seamline", "namespace": "seamline"},
        "spec": yaml.safe_load(RULES.read_text()),
    }


if __name__ == "__main__":
    note = "# Written by make_rule.py; do not edit.\n"
    TARGET.write_text(note + yaml.safe_dump(prometheus_rule(), sort_keys=False, width=120))
