"""examples/python/jobs.py: jobs that wait their turn, are put off, cancelled, and asked for twice."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from seamline.client import Client, Retry
from seamline.errors import Overloaded, QuotaExceeded, StoreUnavailable, UnknownEdit
from seamline.rpc.tls import Tls
from tests.asynchronous import asynchronous
from tests.fakes.editor import RESULT, ScriptedEditor, scripted

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/python/jobs.py"
ONCE = Retry(connect_seconds=10, repeats=0, patience_seconds=0)


def module() -> Any:
    """The example, which is no package."""
    spec = importlib.util.spec_from_file_location("examples_python_jobs", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses look there
    spec.loader.exec_module(loaded)
    return loaded


EXAMPLES = module()


@asynccontextmanager
async def jobs_of(editor: ScriptedEditor, seen: list[str] | None = None, **settings: Any) -> AsyncIterator[Any]:
    """Jobs that an editor answers, and the names of those whose progress was shown."""

    def show(job: Any, progress: Any) -> None:
        if seen is not None:
            seen.append(f"{job.name} {progress.step}")

    async with scripted(editor) as endpoint, Client(endpoint, tls=Tls(), token="", retry=ONCE) as client:
        yield EXAMPLES.Jobs(client, on_progress=show, **{"pauses_seconds": (0.01, 0.02), **settings})


def job(name: str = "42") -> Any:
    return EXAMPLES.Job(name=name, video="https://videos.example/in.mp4", edits={"smile": 2.0})


@asynchronous
async def test_a_job_is_put_off_while_something_is_down_or_full() -> None:
    quota = QuotaExceeded("three calls an hour")
    quota.retry_seconds = 0.3
    editor, seen = ScriptedEditor(StoreUnavailable("the store is gone"), quota), []
    async with jobs_of(editor, seen) as jobs:
        start = asyncio.get_running_loop().time()
        assert await jobs.submit(job()) == RESULT
        assert asyncio.get_running_loop().time() - start > 0.3
    assert len(editor.requests) == 3
    assert seen == ["42 detect"] * 3


@asynchronous
async def test_a_job_fails_when_its_pauses_are_used_up() -> None:
    editor = ScriptedEditor(*(Overloaded("full") for _ in range(5)))
    for error in editor.failures:
        error.retry_seconds = 0.01
    async with jobs_of(editor) as jobs:
        with pytest.raises(Overloaded):
            await jobs.submit(job())
    assert len(editor.requests) == 3


@asynchronous
async def test_a_job_that_is_wrong_fails_at_once() -> None:
    editor = ScriptedEditor(UnknownEdit("no such edit", field="edits[0].name"))
    async with jobs_of(editor) as jobs:
        with pytest.raises(UnknownEdit) as caught:
            await jobs.submit(job())
    assert caught.value.field == "edits[0].name"
    assert len(editor.requests) == 1


@asynchronous
async def test_a_cancelled_job_ends_its_call_and_may_be_submitted_again() -> None:
    editor = ScriptedEditor(hold=True)
    async with jobs_of(editor) as jobs:
        task = jobs.submit(job())
        await editor.held.wait()
        assert jobs.submit(job()) is task
        assert jobs.cancel("42")
        with pytest.raises(asyncio.CancelledError):
            await task
        await editor.cancelled.wait()
        assert not jobs.cancel("42")
        editor.hold = False
        assert await jobs.submit(job()) == RESULT
    assert len(editor.requests) == 2


@asynchronous
async def test_no_more_jobs_are_with_the_editor_than_wanted() -> None:
    editor = ScriptedEditor(hold=True)
    async with jobs_of(editor, at_once=1) as jobs:
        first, second = jobs.submit(job("1")), jobs.submit(job("2"))
        await editor.held.wait()
        await asyncio.sleep(0.1)
        assert len(editor.requests) == 1
        editor.hold = False
        first.cancel()
        assert await second == RESULT
    assert len(editor.requests) == 2
