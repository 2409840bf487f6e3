"""Doctor looks at a real deployment."""

import json
from pathlib import Path

from typer.testing import CliRunner

from seamline.cli.app import app
from tests.e2e.conftest import System


def diagnosis(system: System, *arguments: str) -> tuple[int, list[dict]]:
    """The exit status, and what is said of each service."""
    endpoint = system.deployment.endpoint("editor")
    ran = CliRunner().invoke(app, ["doctor", "--editor", endpoint, "--json", *arguments])
    return ran.exit_code, json.loads(ran.stdout)["services"]


def outcomes(report: dict) -> dict[str, str]:
    return {check["subject"]: check["outcome"] for check in report["checks"]}


def test_all_is_well_and_nothing_is_left_behind(system: System) -> None:
    before = system.written()
    status, reports = diagnosis(system, "--store", system.url)
    assert status == 0
    found = {report["service"]: outcomes(report) for report in reports}
    assert list(found) == ["editor", "aligner", "inverter", "stitcher", "metrics", "client"]
    assert found["editor"] == {"store": "ok", "bundle": "ok", "versions": "ok"}
    assert found["client"] == {"store": "ok"}
    assert found["stitcher"].keys() == {"store", "bundle", "device"}
    assert "fault" not in {outcome for checks in found.values() for outcome in checks.values()}
    assert system.written() == before


def test_a_store_that_is_not_the_editors_is_found(system: System, tmp_path: Path) -> None:
    status, reports = diagnosis(system, "--store", tmp_path.as_uri())
    assert status == 1
    assert outcomes(reports[0])["store"] == "fault"
    assert "another store" in reports[0]["checks"][0]["finding"]
    assert [outcomes(report)["store"] for report in reports[1:]] == ["ok"] * 5


def test_a_bundle_that_is_not_installed_is_a_fault_everywhere(system: System) -> None:
    status, reports = diagnosis(system, "--bundle", "nope")
    assert status == 1
    assert {outcomes(report)["bundle"] for report in reports} == {"fault"}
