"""What is said when a service cannot start; that they do start is for the end-to-end tests."""

import pytest

from seamline.deployment import Deployment
from seamline.errors import ServiceUnavailable


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
