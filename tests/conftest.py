"""How `make test` deals the tests out to its workers."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

WHOLE = ["tests/e2e/", "tests/unit/training/"]
"""Folders that one worker does, and first: one deployment serves all of e2e, and one compilation of the renderer all of
training. Each takes longer than any file."""


class ByFile(LoadScopeScheduling):
    """One file after another to whoever is idle, so that what a module's fixtures make is made once."""

    def _split_scope(self, nodeid: str) -> str:
        return _piece(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    config.option.loadscopereorder = False  # by default pieces of many tests come first, not long ones
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [*WHOLE, _piece(item.nodeid)].index(_piece(item.nodeid)))


def _piece(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return next((folder for folder in WHOLE if file.startswith(folder)), file)
