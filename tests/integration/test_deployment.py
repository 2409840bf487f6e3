"""What is said when a service cannot start; that they do start is for the end-to-end tests."""

from pathlib import Path

import pytest

from seamline.deployment import ALLOCATOR, STAGES, Deployment
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


@pytest.mark.parametrize("name", [*STAGES, "editor"])
def test_images_allocate_memory_as_local_services_do(name):
    image = Path(__file__).parents[2] / "services" / name / "Dockerfile"
    assert f"ENV GLIBC_TUNABLES={ALLOCATOR}" in image.read_text().splitlines()
