"""How `make test` deals the tests out to its workers."""

import pytest
from xdist.scheduler import LoadScopeScheduling


class ByFile(LoadScopeScheduling):
    """One file after another, as collected, so that what a module's fixtures make is made once.

    tests/e2e, which shares one deployment, is a single piece. It is the largest by far, and comes first.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/e2e" if file.startswith("tests/e2e/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    config.option.loadscopereorder = False  # by default the pieces with most tests come first, not the longest
    return ByFile(config, log)
