"""Writes deploy/grafana/seamline.json, the dashboard: python deploy/grafana/dashboard.py

The JSON is committed, so that a ConfigMap or a provisioning directory can take it as it is; a test keeps it up to date
and asks only for metrics that exist.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("seamline.json")
COLUMNS = 24
HEIGHT = 8
SOURCE = {"type": "prometheus", "uid": "${source}"}
JOB = 'job=~"$job"'
STAGE = f'{JOB},stage=~"$stage"'


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture."""

    title: str
    description: str
    queries: Sequence[tuple[str, str]]
    """(PromQL, legend)."""
    unit: str = "short"
    """As Grafana names units: s, Bps, percentunit."""
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


def quantile(q: float, metric: str, by: str, labels: str = STAGE) -> str:
    """A quantile of a histogram over the dashboard's rate interval."""
    return f"histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def mean(metric: str, by: str, labels: str = JOB) -> str:
    """The mean of a histogram's observations, over an hour since they are rare."""
    total, count = (f"sum by ({by}) (increase({metric}_{part}{{{labels}}}[1h]))" for part in ("sum", "count"))
    return f"{total} / ({count} > 0)"


def rate(metric: str, by: str, labels: str = STAGE) -> str:
    """A counter per second."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


ROWS = (
    Row(
        title="At a glance",
        panels=(
            Panel(
                title="Replicas up",
                description="Per service. SeamlineServiceGone fires at 0.",
                queries=((f"sum by (app_kubernetes_io_component) (up{{{JOB}}})", "{{app_kubernetes_io_component}}"),),
                kind="stat",
            ),
            Panel(
                title="Calls that fail, not by the caller's fault",
                description="INTERNAL, UNKNOWN, DATA_LOSS and UNAVAILABLE among all calls.",
                queries=(("max(seamline:call_faults:ratio_rate5m)", "worst method"),),
                unit="percentunit",
                kind="stat",
            ),
            Panel(
                title="Versions",
                description="More than one a service while it is rolled out.",
                queries=((f"count by (service, version) (seamline_build_info{{{JOB}}})", "{{service}} {{version}}"),),
                kind="stat",
            ),
        ),
    ),
    Row(
        title="Load",
        panels=(
            Panel(
                title="Stage calls",
                description="At work, queued in replicas, and waiting in editors because all replicas were full.",
                queries=(
                    (f"sum by (stage) (seamline_stages_running{{{STAGE}}})", "{{stage}} at work"),
                    (f"sum by (stage) (seamline_stages_queued{{{STAGE}}})", "{{stage}} queued"),
                    (f"sum by (stage) (seamline_stage_calls_waiting{{{STAGE}}})", "{{stage}} waiting"),
                ),
                stacked=True,
            ),
            Panel(
                title="Share of the workers in use",
                description="Per service; near 1 for long is the time for another replica.",
                queries=(
                    (
                        f"sum by (app_kubernetes_io_component) (seamline_stages_running{{{JOB}}}) "
                        f"/ sum by (app_kubernetes_io_component) (seamline_stages_capacity{{{JOB}}})",
                        "{{app_kubernetes_io_component}}",
                    ),
                ),
                unit="percentunit",
            ),
            Panel(
                title="Turned away, and repeated",
                description="Refusals by replicas, and repeats by editors, per second.",
                queries=(
                    (rate("seamline_stages_refused_total", "stage, reason"), "{{stage}} refused: {{reason}}"),
                    (rate("seamline_stage_retries_total", "stage, reason"), "{{stage}} repeated: {{reason}}"),
                ),
                unit="ops",
            ),
            Panel(
                title="Wait in a replica (p95)",
                description="Seconds from a call's arrival until its work begins.",
                queries=((quantile(0.95, "seamline_stage_queue_duration_seconds", "stage"), "{{stage}}"),),
                unit="s",
            ),
            Panel(
                title="Calls by status",
                description="As the servers ended them, per second.",
                queries=(
                    (rate("grpc_server_handled_total", "grpc_method, grpc_code", JOB), "{{grpc_method}} {{grpc_code}}"),
                ),
                unit="ops",
            ),
            Panel(
                title="Duration of calls (p95)",
                description="From a call's start to its status.",
                queries=((quantile(0.95, "grpc_server_handling_seconds", "grpc_method", JOB), "{{grpc_method}}"),),
                unit="s",
            ),
        ),
    ),
    Row(
        title="Work",
        panels=(
            Panel(
                title="Where the seconds go",
                description="Seconds of each step per second: the number of workers it keeps busy.",
                queries=((rate("seamline_stage_duration_seconds_sum", "stage, step"), "{{stage}} {{step}}"),),
                stacked=True,
                width=12,
            ),
            Panel(
                title="Duration of steps (p95)",
                description="Of one step of one call.",
                queries=((quantile(0.95, "seamline_stage_duration_seconds", "stage, step"), "{{stage}} {{step}}"),),
                unit="s",
                width=12,
            ),
            Panel(
                title="Frames",
                description="Frames that each stage worked on, per second.",
                queries=((rate("seamline_frames_processed_total", "stage"), "{{stage}}"),),
            ),
            Panel(
                title="Seconds a frame",
                description="Of all steps of a stage, over half an hour.",
                queries=(('seamline:frame_seconds:ratio_rate30m{stage=~"$stage"}', "{{stage}}"),),
                unit="s",
            ),
            Panel(
                title="Optimiser steps",
                description="Summed over the frames of each, per second.",
                queries=((rate("seamline_optimiser_steps_total", "stage, step"), "{{stage}} {{step}}"),),
                unit="ops",
            ),
        ),
    ),
    Row(
        title="Quality",
        panels=(
            Panel(
                title="Identity",
                description="Mean TL-ID, TG-ID (1 is ideal) and similarity to the source of the last hour's edits.",
                queries=((mean("seamline_identity_score", "score"), "{{score}}"),),
            ),
            Panel(
                title="Seam",
                description="Mean grey-level difference over the border, before (naive) and after stitching.",
                queries=((mean("seamline_seam_error", "kind"), "{{kind}}"),),
            ),
            Panel(
                title="Inversion",
                description="Mean PSNR of the drawn crops when a step ended.",
                queries=((mean("seamline_final_psnr_decibels", "stage, step"), "{{stage}} {{step}}"),),
                unit="dB",
            ),
            Panel(
                title="Losses at the end",
                description="Mean of the last hour.",
                queries=((mean("seamline_final_loss", "stage, step, loss"), "{{stage}} {{step}} {{loss}}"),),
            ),
        ),
    ),
    Row(
        title="Object store",
        panels=(
            Panel(
                title="Bytes",
                description="Read and written per second.",
                queries=((rate("seamline_store_bytes_total", "operation", JOB), "{{operation}}"),),
                unit="Bps",
            ),
            Panel(
                title="Duration of operations (p95)",
                description="Their repeats and failures included.",
                queries=(
                    (quantile(0.95, "seamline_store_operation_duration_seconds", "operation", JOB), "{{operation}}"),
                ),
                unit="s",
            ),
            Panel(
                title="Failures",
                description="Per second; not_found is usual where a stage looks for earlier work.",
                queries=((rate("seamline_store_failures_total", "operation, error", JOB), "{{operation}} {{error}}"),),
                unit="ops",
            ),
        ),
    ),
    Row(
        title="Triton",
        panels=(
            Panel(
                title="Requests to Triton",
                description="Of each model, per second; none where no Triton is set.",
                queries=((rate("seamline_triton_request_duration_seconds_count", "model", JOB), "{{model}}"),),
                unit="ops",
            ),
            Panel(
                title="Duration of requests to Triton (p95)",
                description="As a service waits for them, repeats and failures included.",
                queries=((quantile(0.95, "seamline_triton_request_duration_seconds", "model", JOB), "{{model}}"),),
                unit="s",
            ),
            Panel(
                title="Repeats of requests to Triton",
                description="Per second; the server was away.",
                queries=((rate("seamline_triton_retries_total", "model", JOB), "{{model}}"),),
                unit="ops",
            ),
        ),
    ),
    Row(
        title="Machines",
        panels=(
            Panel(
                title="GPU memory",
                description="In use by anybody, and held by the service.",
                queries=(
                    (f"seamline_gpu_memory_used_bytes{{{JOB}}}", "{{instance}} used"),
                    (f"seamline_gpu_memory_reserved_bytes{{{JOB}}}", "{{instance}} held"),
                    (f"seamline_gpu_memory_total_bytes{{{JOB}}}", "{{instance}} total"),
                ),
                unit="bytes",
            ),
            Panel(
                title="GPU utilisation",
                description="Share of the time in which the GPU computed.",
                queries=((f"seamline_gpu_utilisation_ratio{{{JOB}}}", "{{instance}}"),),
                unit="percentunit",
            ),
            Panel(
                title="Processors",
                description="Cores in use by each process.",
                queries=((f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"),),
            ),
            Panel(
                title="Memory",
                description="Resident memory of each process.",
                queries=((f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),),
                unit="bytes",
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    return {
        "uid": "seamline",
        "title": "Seamline",
        "tags": ["seamline"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source(), _variable("job", "up"), _variable("stage", "seamline_stages_running")]},
        "panels": _panels(),
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(label: str, metric: str) -> dict[str, Any]:
    # Jobs of other applications have no such metric, but for `up`, which this one is told by its name.
    query = f'label_values({metric}{{job=~".*seamline"}}, {label})'
    return {
        "name": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    y = 0
    for row in ROWS:
        made.append({"type": "row", "title": row.title, "collapsed": False, "gridPos": _place(0, y, COLUMNS, 1)})
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + HEIGHT
            made.append(_panel(panel, x, y))
            x += panel.width
        y += HEIGHT
    for number, panel in enumerate(made, start=1):
        panel["id"] = number
    return made


def _panel(panel: Panel, x: int, y: int) -> dict[str, Any]:
    custom = {"stacking": {"mode": "normal" if panel.stacked else "none"}, "fillOpacity": 30 if panel.stacked else 0}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": _place(x, y, panel.width, HEIGHT),
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
