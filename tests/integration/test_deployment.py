"""Services as processes: replicas, and what is said when one cannot start. That they edit is for tests/e2e."""

import asyncio
from pathlib import Path

import pytest

from seamline.deployment import Deployment
from seamline.errors import ServiceUnavailable
from tests.calling import SERVING, health_of


def test_a_service_that_ends_at_once_is_named_with_its_last_words(tmp_path):
    deployment = Deployment(tmp_path, store="file:///nowhere", environment={"SEAMLINE_MAX_CONCURRENT_STAGES": "none"})
    with pytest.raises(ServiceUnavailable, match=r"the aligner ended.*SEAMLINE_MAX_CONCURRENT_STAGES") as raised:
        deployment.start()
    assert str(tmp_path / "aligner.log") in str(raised.value)
    assert deployment.services == {}


def test_a_service_that_never_listens_is_given_up(tmp_path):
    deployment = Deployment(tmp_path, store="file:///nowhere", start_seconds=0.0)
    with pytest.raises(ServiceUnavailable, match="did not listen within 0 s"):
        deployment.start()


@pytest.mark.cluster  # it takes long
def test_replicas_have_names_and_addresses_of_their_own_and_come_back_at_them(tmp_path):
    with Deployment(tmp_path, store=(tmp_path / "store").as_uri(), replicas={"stitcher": 2}) as deployment:
        assert sorted(deployment.services) == ["aligner", "editor", "inverter", "metrics", "stitcher", "stitcher-2"]
        assert deployment.add("stitcher", host="127.0.0.2") == "stitcher-3"
        stitchers = [deployment.endpoint(name) for name in ("stitcher", "stitcher-2", "stitcher-3")]
        assert len(set(stitchers)) == 3
        assert stitchers[2].startswith("127.0.0.2:")
        deployment.kill("stitcher-3")
        with pytest.raises(ServiceUnavailable, match=r"the stitcher-3 ended with status -9"):
            deployment.check()
        deployment.restart("stitcher-3")
        deployment.check()
        assert deployment.endpoint("stitcher-3") == stitchers[2]
        for endpoint in stitchers:
            assert asyncio.run(health_of(endpoint)) == SERVING


@pytest.mark.parametrize("own", [None, "ACTIVE"])
def test_threads_that_wait_sleep_unless_the_operator_says_otherwise(tmp_path, monkeypatch, own):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if own:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    deployment = Deployment(tmp_path, store=(tmp_path / "store").as_uri())
    try:
        service = deployment.services[deployment.add("metrics")]
        started_with = Path(f"/proc/{service.process.pid}/environ").read_bytes().split(b"\0")
    finally:
        deployment.stop()
    assert f"OMP_WAIT_POLICY={own or 'PASSIVE'}".encode() in started_with
