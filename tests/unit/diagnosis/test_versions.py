"""What replicas may differ in, and what not."""

import torch

from seamline.diagnosis.versions import compare_versions, contract_digest, versions_here
from seamline.v1.diagnostics_pb2 import CheckOutcome, ServiceReport

OK, WARNING, FAULT = (
    CheckOutcome.CHECK_OUTCOME_OK,
    CheckOutcome.CHECK_OUTCOME_WARNING,
    CheckOutcome.CHECK_OUTCOME_FAULT,
)
VERSIONS = {"seamline": "0.1.0", "contract": "c0ffee", "bundle": "b" * 64, "torch": "2.13.0+cpu", "python": "3.11.7"}


def report(number, **versions):
    return ServiceReport(service="stitcher", endpoint=f"10.0.0.{number}:50051", versions=VERSIONS | versions)


def compared(*reports):
    return [(found.outcome, found.finding) for found in compare_versions(reports)]


def test_this_process_says_what_it_is():
    here = versions_here("", None)
    assert here["torch"] == torch.__version__
    assert here["contract"] == contract_digest()
    assert {"seamline", "bundle", "python"} <= set(here)
    assert "bundle" not in versions_here("nope", None)


def test_equal_replicas_are_one_line_and_the_silent_do_not_count():
    silent = ServiceReport(service="metrics", endpoint="10.0.0.9:50051")
    ((outcome, finding),) = compared(report(1), report(2), silent)
    assert outcome == OK
    assert "seamline 0.1.0" in finding
    assert "in 2 replicas" in finding
    assert compared(silent) == []


def test_another_bundle_is_a_fault_that_names_who_has_it():
    ((outcome, finding),) = compared(report(1), report(2), report(3, bundle="a" * 64))
    assert outcome == FAULT
    assert "a" * 12 + " in stitcher 10.0.0.3:50051" in finding
    assert "b" * 12 + " in the other 2" in finding


def test_another_version_is_a_warning():
    assert [outcome for outcome, _ in compared(report(1), report(2, seamline="0.2.0", contract="0ther"))] == [
        WARNING,
        WARNING,
    ]


def test_builds_for_processors_and_gpus_go_together():
    ((outcome, _),) = compared(report(1), report(2, torch="2.13.0+cu130", python="3.11.9"))
    assert outcome == OK
    ((outcome, finding),) = compared(report(1), report(2, torch="2.12.0+cpu"))
    assert (outcome, "torch differs" in finding) == (WARNING, True)
