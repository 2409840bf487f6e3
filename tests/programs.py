"""Programs that tests need and this repository does not bring."""

import shutil

import pytest


def installed(name: str, package: str) -> str:
    """The path of a program; the test fails, and says what to install, where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"this test needs {name}: apt-get install {package}", pytrace=False)
    return path
