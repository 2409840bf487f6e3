"""docs/calling.md lists every status, and the Python in it runs."""

import asyncio
import re
from pathlib import Path

import pytest

from seamline.client import Client
from seamline.errors import SeamlineError
from seamline.rpc.errors import TABLE
from seamline.rpc.tls import Tls

PAGE = Path(__file__).parents[2] / "docs/calling.md"
TEXT = PAGE.read_text()


def test_every_status_is_listed() -> None:
    table = TEXT.partition("\n## Statuses\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?:`(\w+)` )?\| `(\w+)` \| \S.* \|$", table, re.MULTILINE)
    listed, status = [], ""
    for code, error in rows:
        status = code or status
        listed.append((status, error))
    assert sorted(listed) == sorted((mapping.code.name, kind.__name__) for kind, mapping in TABLE.items())


def test_the_reason_is_the_name_in_capitals() -> None:
    for kind, mapping in TABLE.items():
        capitals = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).upper()
        assert mapping.reason == ("INTERNAL" if kind is SeamlineError else capitals)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL), ids=lambda code: code[:40])
def test_the_code_makes_calls(code: str) -> None:
    """Which are not sent before somebody asks for an event."""

    async def run() -> None:
        async with Client("127.0.0.1:1", tls=Tls(), token="") as client:
            given = {"client": client, "video": "https://videos.example/in.mp4"}
            exec(compile(code, PAGE.name, "exec"), given)

    asyncio.run(run())
