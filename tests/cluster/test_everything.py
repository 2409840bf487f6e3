"""The demo clip through a whole cluster on this machine, and a job that outlives what dies under it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from seamline.client import Client, Retry
from seamline.errors import Forbidden, ServiceUnavailable, Unauthenticated
from seamline.rpc.tls import Tls
from seamline.storage import fetch_object, put_object, read_object
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.inverter_pb2 import InvertOptions
from seamline.v1.media_pb2 import ArtifactRef, Progress
from seamline.v1.stitcher_pb2 import StitchOptions
from seamline.video import probe
from tests.cluster.everything import TOKEN, Cluster, running_cluster
from tests.e2e.clips import PRESENTER, cut

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

AT_ONCE = Retry(repeats=0, patience_seconds=0, connect_seconds=8)
QUICK = {"invert": InvertOptions(max_passes=2), "stitch": StitchOptions(max_steps=4)}
MODELS_IN_USE = {"detector", "landmarks", "e4e", "parsing", "identity", "attributes"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def presenter(cluster: Cluster) -> ArtifactRef:
    return put_object(cluster.store, "videos/presenter.mp4", PRESENTER)


@pytest.fixture(scope="module")
def edited(cluster: Cluster, presenter: ArtifactRef) -> EditVideoResult:
    """The demo."""
    cluster.prometheus.awaited("count(up == 1) == 6")
    return cluster.edit(presenter, {"smile": 2.0})


def test_the_demo_is_as_good_as_in_one_process(cluster: Cluster, edited: EditVideoResult, tmp_path: Path) -> None:
    fetch_object(cluster.store, edited.edited, tmp_path / "edited.mp4")
    before, after = probe(PRESENTER), probe(tmp_path / "edited.mp4")
    assert (after.frame_count, after.width, after.height, after.has_audio) == (
        before.frame_count,
        before.width,
        before.height,
        before.has_audio,
    )
    scores = json.loads(read_object(cluster.store, edited.scores.scores))
    assert edited.scores.tl_id == pytest.approx(1.0, abs=0.03)
    assert edited.scores.tg_id == pytest.approx(1.0, abs=0.06)
    assert edited.inversion_figures.psnr_db > 33
    assert scores["seam_error"]["stitched"] < 0.4 * scores["seam_error"]["naive"]
    (effect,) = edited.scores.edit_effects
    assert effect.share_of_frames > 0.95


def test_prometheus_has_seen_what_the_edit_says(cluster: Cluster, edited: EditVideoResult) -> None:
    told = {step: pytest.approx(seconds) for step, seconds in edited.step_seconds.items()}

    def found(samples: list[tuple[dict[str, str], float]]) -> bool:
        return {f"{labels['stage']}.{labels['step']}": value for labels, value in samples} == told

    cluster.prometheus.awaited_value("sum by (stage, step) (seamline_stage_duration_seconds_sum) > 0", found)
    frames = cluster.prometheus.query('seamline_frames_processed_total{stage="stitch"} > 0')
    assert sorted(count for _, count in frames) == [36, 36]  # each stitcher had its range
    asked = cluster.prometheus.query("sum by (model) (seamline_triton_request_duration_seconds_count) > 0")
    assert {labels["model"] for labels, _ in asked} == MODELS_IN_USE
    assert cluster.prometheus.query('grpc_server_handled_total{grpc_code!="OK"} > 0') == []
    assert cluster.prometheus.query("seamline_stage_retries_total > 0") == []
    assert [a for a in cluster.prometheus.get("alerts")["alerts"] if a["state"] == "firing"] == []


def test_the_doctor_finds_nothing(cluster: Cluster) -> None:
    secured = {
        "SEAMLINE_TLS_CA": cluster.tls.ca,
        "SEAMLINE_TLS_CERTIFICATE": cluster.tls.certificate,
        "SEAMLINE_TLS_KEY": cluster.tls.key,
        "SEAMLINE_TOKEN": TOKEN,
    }
    command = ["doctor", "--editor", cluster.deployment.endpoint("editor"), "--store", cluster.url, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", "from seamline.cli import main; main()", *command],
        env={**os.environ, **secured},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout)["services"]
    services = [report["service"] for report in reports if report["service"] in cluster.deployment.services]
    assert sorted(services) == ["aligner", "editor", "inverter", "metrics", "stitcher", "stitcher"]
    outcomes = {(c["subject"], c["outcome"]) for report in reports for c in report["checks"]}
    assert {subject for subject, _ in outcomes} >= {"store", "bundle", "triton", "tls"}
    assert {outcome for _, outcome in outcomes} == {"ok"}, done.stdout


def test_nobody_else_is_let_in(cluster: Cluster) -> None:
    editor, stitcher = (cluster.deployment.endpoint(name) for name in ("editor", "stitcher"))

    async def listed(endpoint: str, tls: Tls, token: str) -> None:
        async with Client(endpoint, tls=tls, token=token, retry=AT_ONCE) as client:
            await client.list_edits()

    anonymous = Tls(ca=cluster.tls.ca)
    for tls, token, kind in (
        (cluster.tls, "", Unauthenticated),
        (cluster.tls, "of-a-stranger", Unauthenticated),
        (anonymous, TOKEN, ServiceUnavailable),
        (Tls(), TOKEN, ServiceUnavailable),
    ):
        with pytest.raises(kind):
            asyncio.run(listed(editor, tls, token))
    with pytest.raises((ServiceUnavailable, Forbidden)):
        asyncio.run(listed(stitcher, anonymous, ""))


def test_a_video_is_erased_with_all_that_was_made_of_it(
    cluster: Cluster, presenter: ArtifactRef, edited: EditVideoResult
) -> None:
    assert any(presenter.sha256 in entry.key for entry in cluster.store.list("artifacts/"))
    assert cluster.erase(presenter) > 10
    assert list(cluster.store.list("")) == []
    assert cluster.erase(presenter) == 0


class Misfortune:
    """Kills one part of the cluster after another, each once its stage is at work, and brings it back."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._left = {
            ("align", "observe"): self._triton,
            ("invert", "pti"): self._store,
            ("stitch", "stitch"): self._stitcher,
        }
        self._repairs: list[threading.Thread] = []

    def __call__(self, progress: Progress) -> None:
        place = (progress.stage, progress.step)
        if progress.done and place in self._left:
            self._left.pop(place)()

    def over(self) -> None:
        """All has happened, and all is well again."""
        assert not self._left
        for repair in self._repairs:
            repair.join()

    def _triton(self) -> None:
        self._cluster.triton.kill()
        self._repair(self._cluster.triton.start)

    def _store(self) -> None:
        self._cluster.swift.kill()
        self._repair(self._cluster.swift.start)

    def _stitcher(self) -> None:
        self._cluster.deployment.kill("stitcher")
        self._cluster.deployment.restart("stitcher")  # here: it ends with the thread that starts it

    def _repair(self, start) -> None:
        self._repairs.append(threading.Thread(target=start))
        self._repairs[-1].start()


def test_a_job_outlives_triton_the_store_and_a_stitcher(cluster: Cluster, tmp_path: Path) -> None:
    video = put_object(cluster.store, "videos/short.mp4", cut(tmp_path / "short.mp4", 52))
    undisturbed = cluster.edit(video, {"smile": 1.5}, **QUICK)
    cluster.erase(video, keep_source=True)
    assert [entry.key for entry in cluster.store.list("")] == ["videos/short.mp4"]

    misfortune = Misfortune(cluster)
    disturbed = cluster.edit(video, {"smile": 1.5}, misfortune, **QUICK)
    misfortune.over()

    assert disturbed.edited == undisturbed.edited  # the digest of its bytes, too
    assert disturbed.scores.scores == undisturbed.scores.scores
    repeated = cluster.prometheus.query("sum(seamline_stage_retries_total) > 0")
    assert repeated, "nothing was felt of it"
