"""What is found of certificates: in force, ending, ended, swapped."""

from datetime import timedelta
from pathlib import Path

import pytest

from seamline.diagnosis.certificates import check_tls
from seamline.rpc.tls import Tls
from seamline.v1.diagnostics_pb2 import CheckOutcome
from tests.certificates import Authority

OK, WARNING, FAULT = (
    CheckOutcome.CHECK_OUTCOME_OK,
    CheckOutcome.CHECK_OUTCOME_WARNING,
    CheckOutcome.CHECK_OUTCOME_FAULT,
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize(
    ("ends_in", "outcome"),
    [(timedelta(days=30), OK), (timedelta(hours=1), WARNING), (timedelta(hours=-1), FAULT)],
)
def test_the_end_of_a_certificate(authority: Authority, ends_in: timedelta, outcome: int) -> None:
    issued = authority.issue(ends_in=ends_in)  # since two days
    found = check_tls(Tls(certificate=str(issued.certificate), key=str(issued.key), ca=str(authority.certificate)))
    assert (found.subject, found.outcome, bool(found.remedy)) == ("tls", outcome, outcome != OK)
    assert "expired" in found.finding if outcome == FAULT else "valid until" in found.finding


def test_who_only_calls_shows_none(authority: Authority) -> None:
    found = check_tls(Tls(ca=str(authority.certificate)))
    assert (found.outcome, "no certificate" in found.finding) == (OK, True)


def test_a_file_that_is_gone_is_named(authority: Authority) -> None:
    issued = authority.issue()
    issued.key.unlink()
    found = check_tls(Tls(certificate=str(issued.certificate), key=str(issued.key)))
    assert found.outcome == FAULT
    assert str(issued.key) in found.finding
    assert found.remedy
