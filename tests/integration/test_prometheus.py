"""A real Prometheus: what is shipped for it is valid, and it sees an edit as the edit says it was."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from seamline.client import Client
from seamline.deployment import STAGES, Deployment
from seamline.rpc import tracing
from seamline.storage import open_store, put_object
from seamline.v1.aligner_pb2 import LANDMARK_BACKEND_DLIB, AlignOptions
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.media_pb2 import ArtifactRef
from tests.e2e.clips import cut
from tests.fakes.bundle import NAME, tiny_bundle
from tests.fakes.collector import KeepingCollector, collecting
from tests.integration.prometheus import COMPONENT, SHIPPED, Prometheus, prometheus
from tests.programs import installed
from tests.unit.deploy.test_monitoring import queries

pytestmark = pytest.mark.cluster

FRAMES = 6
SERIES = f'sort(count by ({COMPONENT}, __name__) ({{__name__=~"(seamline|grpc)_.+"}}))'


def promtool(*arguments: object, said: bytes = b"") -> str:
    program = installed("promtool", "prometheus")
    done = subprocess.run([program, *map(str, arguments)], input=said, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()


def test_the_rules_are_valid_and_alarm_when_they_should() -> None:
    rules = sorted((SHIPPED / "rules").glob("*.yaml"))
    promtool("check", "rules", *rules)
    promtool("check", "config", SHIPPED / "prometheus.yaml")
    promtool("test", "rules", *sorted((SHIPPED / "tests").glob("*.yaml")))


def test_the_names_of_the_metrics_follow_the_conventions() -> None:
    assert promtool("check", "metrics", said=generate_latest()) == ""


def test_an_edit_can_be_read_from_prometheus_and_is_one_trace(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "bundles")
    url = (tmp_path / "store").as_uri()
    video = put_object(open_store(url), "videos/clip.mp4", cut(tmp_path / "clip.mp4", FRAMES))
    with collecting() as collector:
        settings = {"SEAMLINE_BUNDLES": str(tmp_path / "bundles"), "SEAMLINE_DRAIN_SECONDS": "2"}
        environment = {**settings, tracing.ENDPOINT: collector.endpoint}
        with Deployment(tmp_path / "services", store=url, environment=environment) as deployment:
            targets = [(service.stage, service.metrics_port) for service in deployment.services.values()]
            with prometheus(tmp_path / "prometheus", targets) as server:
                _check_metrics(server, lambda: asyncio.run(_edited(deployment.endpoint("editor"), video)))
        _check_trace(collector)


def _check_metrics(server: Prometheus, edit: Callable[[], EditVideoResult]) -> None:
    server.awaited("count(up == 1) == 5")
    assert {labels[COMPONENT] for labels, _ in server.query("up")} == {*STAGES, "editor"}
    timed = _by_step(server.awaited("seamline_stage_duration_seconds_count"))
    assert set(timed.values()) == {0.0}  # there before anything has happened
    assert (series := server.query(SERIES))
    result = edit()
    told = {step: pytest.approx(seconds) for step, seconds in result.step_seconds.items()}
    server.awaited_value("seamline_stage_duration_seconds_sum > 0", lambda found: _by_step(found) == told)
    frames = {labels["stage"]: count for labels, count in server.query("seamline_frames_processed_total > 0")}
    assert frames == dict.fromkeys(("align", "invert", "stitch", "score", "mux"), FRAMES)
    scores = {labels["score"]: value for labels, value in server.query("seamline_identity_score_sum")}
    assert scores["tl_id"] == pytest.approx(result.scores.tl_id)
    assert server.query(SERIES) == series  # none is made for a video, an edit or a caller
    assert server.awaited("seamline:stage_demand:sum")
    for where, query in queries():
        assert server.get("query", query=_filled_in(query))["resultType"] == "vector", where
    groups = server.get("rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
    assert [alert for alert in server.get("alerts")["alerts"] if alert["state"] == "firing"] == []


def _check_trace(collector: KeepingCollector) -> None:
    (edit,) = collector.named("seamline.v1.EditorService/EditVideo")
    assert {span.trace for span in collector.spans} == {edit.trace}
    assert {span.service for span in collector.spans} == {f"seamline-{name}" for name in (*STAGES, "editor")}
    assert [span for span in collector.spans if span.failed] == []
    known = {span.id for span in collector.spans}
    assert [span.name for span in collector.spans if span.parent not in known] == [edit.name]


def _filled_in(query: str) -> str:
    """A query of the dashboard with its variables as Grafana fills them in."""
    return query.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$stage", ".*")


def _by_step(samples: list[tuple[dict[str, str], float]]) -> dict[str, float]:
    return {f"{labels['stage']}.{labels['step']}": value for labels, value in samples}


async def _edited(endpoint: str, video: ArtifactRef) -> EditVideoResult:
    options = AlignOptions(landmarks=LANDMARK_BACKEND_DLIB)
    async with Client(endpoint) as client:
        events = [e async for e in client.edit_video(video, {"smile": 1.0}, bundle=NAME, align=options, timeout=400)]
    return events[-1]
