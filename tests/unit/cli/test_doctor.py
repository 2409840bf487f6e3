"""What doctor shows of what was found, for people and for programs."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from seamline.cli.app import app
from seamline.cli.doctor import as_values, findings
from seamline.diagnosis.check import fault, ok, warning
from seamline.v1.diagnostics_pb2 import Check, ServiceReport

VERSIONS = {"seamline": "0.1.0", "torch": "2.13.0+cpu", "python": "3.11.7", "bundle": "b" * 64}
LONG = "file:///var/lib/seamline/" + "a-directory-of-a-long-name/" * 5

WELL = ServiceReport(
    service="editor", endpoint="editor.example:50051", versions=VERSIONS, checks=[ok("store", "wrote and read")]
)
ILL = ServiceReport(
    service="stitcher",
    endpoint="10.11.12.13:50051",
    versions=VERSIONS,
    checks=[
        fault("store", f"the store {LONG} failed at 'probes/[x]': Permission denied", "check its permissions [here]"),
        warning("device", "64 threads share 4 processors", "set SEAMLINE_THREADS=4"),
    ],
)


def shown(*reports: ServiceReport, width: int = 100) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(findings(reports))
    return [line.rstrip() for line in captured.get().splitlines()]


def words(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("width", [80, 120])
def test_fits_the_terminal_and_leaves_nothing_out(width):
    lines = shown(WELL, ILL, width=width)
    assert max(map(len, lines)) <= width
    text = words(lines)
    for part in ("stitcher 10.11.12.13:50051", "seamline 0.1.0", "→ check its permissions [here]", "probes/[x]"):
        assert part in text
    assert LONG in "".join(line.strip() for line in lines)
    assert lines[-1] == "1 fault, 1 warning"
    # What was found stands below itself, however long what is before it.
    assert len({line.index(word) for word in ("Permission", "64 threads") for line in lines if word in line}) <= 2


def test_says_when_all_is_well():
    assert shown(WELL)[-1] == "all is well"
    assert "fault" not in words(shown(WELL))


def test_programs_get_the_same():
    values = as_values([WELL, ILL])
    assert values["ok"] is False
    assert as_values([WELL])["ok"] is True
    assert [each["endpoint"] for each in values["services"]] == ["editor.example:50051", "10.11.12.13:50051"]
    assert values["services"][1]["checks"][1] == {
        "subject": "device",
        "outcome": "warning",
        "finding": "64 threads share 4 processors",
        "remedy": "set SEAMLINE_THREADS=4",
        "seconds": 0.0,
    }


def test_an_outcome_of_a_newer_service_is_at_least_not_fine():
    newer = Check.FromString(Check(subject="store", outcome=9).SerializeToString())  # type: ignore[arg-type]
    assert as_values([ServiceReport(checks=[newer])])["services"][0]["checks"][0]["outcome"] == "warning"


def test_an_editor_that_is_not_there_is_one_line(tmp_path):
    store = (tmp_path / "store").as_uri()
    ran = CliRunner().invoke(app, ["doctor", "--editor", "127.0.0.1:1", "--store", store], env={"COLUMNS": "200"})
    assert ran.exit_code == 1
    assert "127.0.0.1:1 does not answer" in ran.stdout
    assert "→ check the address and that the service runs" in ran.stdout
    assert "1 fault" in ran.stdout
    assert "ok       store" in ran.stdout  # what can be found from here is found
    assert "Traceback" not in ran.output


def test_programs_are_told_of_it_too():
    ran = CliRunner().invoke(app, ["doctor", "--editor", "127.0.0.1:1", "--json"])
    assert ran.exit_code == 1
    (editor,) = json.loads(ran.stdout)["services"]
    assert (editor["service"], editor["checks"][0]["outcome"]) == ("editor", "fault")


def test_a_token_that_would_be_read_by_others_is_not_sent():
    arguments = ["doctor", "--editor", "editor.example:50051"]
    ran = CliRunner().invoke(app, arguments, env={"SEAMLINE_TOKEN": "secret", "COLUMNS": "200"})
    assert ran.exit_code == 1
    assert "unencrypted" in ran.stdout
    assert "secret" not in ran.output
