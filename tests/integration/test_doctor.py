"""Doctor as an operator runs it: the command, on services that are processes, each of which goes wrong in its turn."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio import Minio

from seamline.deployment import Deployment
from tests.fakes.bundle import NAME
from tests.fakes.few_networks import few_networks
from tests.integration.swift import ACCESS_KEY, SECRET_KEY, running_swift

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

COMMAND = Path(sys.executable).with_name("seamline")
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24
LIBC = ctypes.CDLL(None)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctor")


@pytest.fixture(scope="module")
def bundles(directory: Path) -> Path:
    few_networks(directory / "bundles", ("detector", "parsing"))
    few_networks(directory / "other", ("detector", "parsing"), width=8)
    return directory / "bundles"


@pytest.fixture(scope="module")
def deployment(directory: Path, bundles: Path) -> Iterator[Deployment]:
    """Two stitchers and one of the others, on an S3 server."""
    with running_swift() as swift, pytest.MonkeyPatch.context() as patch:
        Minio(swift.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False).make_bucket("videos")
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("SEAMLINE_STORE", swift.url("videos", "here"))
        own = {"SEAMLINE_BUNDLES": str(bundles), "SEAMLINE_DRAIN_SECONDS": "1"}
        services = Deployment(
            directory / "services", store=swift.url("videos", "here"), environment=own, replicas={"stitcher": 2}
        )
        with services:
            yield services


def doctor(deployment: Deployment, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit status, and what is shown in a wide terminal, with its line breaks undone."""
    command = [str(COMMAND), "doctor", "--editor", deployment.endpoint("editor"), "--bundle", NAME, *arguments]
    ran = subprocess.run(
        command, env={**os.environ, "COLUMNS": "400", **environment}, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ran.stdout + ran.stderr
    return ran.returncode, " ".join(ran.stdout.split())


def test_all_is_well(deployment: Deployment) -> None:
    status, shown = doctor(deployment)
    assert (status, shown[-11:]) == (0, "all is well")
    assert re.findall(r"(aligner|inverter|stitcher|metrics|client) (?:127|ok)", shown) == [
        "aligner", "inverter", "stitcher", "stitcher", "metrics", "client",
    ]  # fmt: skip
    assert "same in 6 replicas" in shown
    assert SECRET_KEY not in shown


def test_a_stage_that_is_down(deployment: Deployment) -> None:
    endpoint = deployment.services["stitcher-2"].endpoint
    deployment.kill("stitcher-2")
    try:
        status, shown = doctor(deployment)
    finally:
        deployment.restart("stitcher-2")
    assert status == 1
    assert f"stitcher {endpoint} fault service {endpoint} does not answer" in shown
    assert "Connection refused" in shown
    assert shown.endswith("1 fault")
    status, shown = doctor(deployment)
    assert status == 0, shown


def test_a_manifest_that_is_of_other_files(deployment: Deployment, bundles: Path) -> None:
    manifest = bundles / NAME / "bundle.toml"
    whole = manifest.read_bytes()
    shutil.copyfile(bundles.parent / "other" / NAME / "bundle.toml", manifest)
    try:
        status, shown = doctor(deployment)
    finally:
        manifest.write_bytes(whole)
    assert status == 1
    assert "parsing.safetensors: has" in shown
    assert "install the bundle again" in shown


def test_another_store_and_wrong_credentials(deployment: Deployment, tmp_path: Path) -> None:
    status, shown = doctor(deployment, "--store", tmp_path.as_uri())
    assert status == 1
    assert "another store than its caller's" in shown
    status, shown = doctor(deployment, AWS_SECRET_ACCESS_KEY="wrong")
    assert status == 1
    assert "client fault store" in shown
    assert "refuses our credentials" in shown
    assert "AWS_SECRET_ACCESS_KEY" in shown
    assert shown.count("fault store") == 1  # the services have the right ones


def test_a_store_that_can_only_be_read(deployment: Deployment, tmp_path: Path) -> None:
    """As root would write all the same, the command runs without that right."""
    tmp_path.chmod(0o555)
    command = [str(COMMAND), "doctor", "--editor", deployment.endpoint("editor"), "--bundle", NAME]
    ran = subprocess.run(
        [*command, "--store", tmp_path.as_uri()],
        env={**os.environ, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: LIBC.prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0),
    )
    shown = " ".join(ran.stdout.split())
    assert ran.returncode == 1
    assert "client fault store" in shown
    assert "Permission denied" in shown
    assert "check the directory's permissions" in shown


def test_an_editor_that_is_not_there(deployment: Deployment) -> None:
    deployment.kill("editor")
    try:
        status, shown = doctor(deployment)
    finally:
        deployment.restart("editor")
    assert status == 1
    assert "does not answer" in shown
    assert "ok store" in shown  # the caller's own way to it
    assert shown.endswith("1 fault")
