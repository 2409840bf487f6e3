"""Runs the clients of examples/ as programs."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

Program = list[str]
"""The start of a command line."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A program's exit status and what it wrote."""

    status: int
    out: str
    said: str

    @property
    def json(self) -> dict[str, object]:
        """The last line of what it wrote for programs: the result, or else the error."""
        return json.loads((self.out or self.said).splitlines()[-1])


@asynccontextmanager
async def started(
    program: Program, endpoint: str, *arguments: str, **settings: object
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A client at work, with settings from the environment; Seamline's own, not those of whoever runs the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SEAMLINE_")}
    given = {f"SEAMLINE_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        env={**own, "SEAMLINE_EDITOR": endpoint, **given},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def end(process: asyncio.subprocess.Process) -> Ended:
    """Waits for it."""
    out, said = await process.communicate()
    assert process.returncode is not None
    return Ended(status=process.returncode, out=out.decode(), said=said.decode())


async def run(program: Program, endpoint: str, *arguments: str, **settings: object) -> Ended:
    """A client from its start to its end."""
    async with started(program, endpoint, *arguments, **settings) as process:
        return await end(process)
