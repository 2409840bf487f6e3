"""One call to the editor, shown while it runs."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from seamline.cli.progress import StageBars
from seamline.cli.session import Session
from seamline.client import Client
from seamline.errors import SeamlineError
from seamline.storage import Store, put_object
from seamline.storage.layout import source_key
from seamline.storage.reference import sha256_of
from seamline.v1.media_pb2 import ArtifactRef, Progress

WATCH_SECONDS = 0.5
"""Between looks at whether the services started here still run."""

Start = Callable[[Client], AsyncGenerator[Any, None]]
"""Makes the call: yields Progress, then its result."""


async def result_of(session: Session, bars: StageBars, start: Start) -> Any:
    """The result of a call to the editor.

    Raises:
        SeamlineError: what the editor raised.
        ServiceUnavailable: a service that was started for this call has ended; what is finished is kept.
    """
    client = Client(session.endpoint, tls=session.tls, token=session.token)
    call = asyncio.create_task(finished(client, bars, start))
    try:
        # The editor waits for a stage that is gone, as another may take its place. Here nobody starts another.
        while not (await asyncio.wait([call], timeout=WATCH_SECONDS))[0]:
            session.check()
    finally:
        call.cancel()
    return await call


async def finished(client: Client, bars: StageBars, start: Start) -> Any:
    """The result of a call; the client is closed. Raises SeamlineError as the editor does."""
    async with client, aclosing(start(client)) as events:
        async for event in events:
            if not isinstance(event, Progress):
                return event
            bars.show(event)
    raise SeamlineError("the editor gave no result; see its log")


def upload(store: Store, path: Path) -> ArtifactRef:
    """Puts a video into the store under its digest, unless it is there."""
    digest = sha256_of(path)
    key = source_key(digest, path.suffix)
    if store.exists(key):
        return ArtifactRef(uri=store.uri(key), sha256=digest)
    return put_object(store, key, path)
