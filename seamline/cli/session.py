"""An editor to talk to: one that runs elsewhere, or one started here with all its stages.

Who talks to one elsewhere needs no networks, and does not wait for torch: what does is in `here`, imported when called.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from seamline.cli.arguments import NamedEdits, cache_directory
from seamline.cli.choices import Choices
from seamline.client import Client
from seamline.deployment import Deployment
from seamline.errors import InvalidInput
from seamline.rpc.tls import CA, CERTIFICATE, CLIENT_CA, KEY, Tls
from seamline.storage import Store, open_store
from seamline.v1.editor_pb2 import ListEditsResponse

ELSEWHERE = (CERTIFICATE, KEY, CA, CLIENT_CA, "SEAMLINE_TLS_CLIENT_NAMES", "SEAMLINE_CLIENTS")
"""Settings that say how an editor is reached, or who reaches it."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where the editor is, and the store that it shares with us."""

    endpoint: str
    store: Store
    check: Callable[[], None] = lambda: None
    """Raises ServiceUnavailable once a service that was started here has ended: nobody else would start it again."""
    tls: Tls | None = None
    """How to call the editor; None as the environment says."""
    token: str | None = None
    """The same."""


def check_here(editor: str, source: Path, variants: Sequence[NamedEdits], choices: Choices) -> None:
    """Says at once, before five services start, what cannot be done; an editor that runs is left to say it.

    Raises:
        InvalidInput, UnknownEdit, NotFound, Precondition: as the editor would.
        UnreadableVideo: the source is not a video.
    """
    if not editor:
        from seamline.cli import here

        here.check(source, variants, choices)


def find_abilities(editor: str, bundle: str) -> ListEditsResponse:
    """What a bundle can do: an editor's, or one that is installed here.

    Raises:
        NotFound: no such bundle.
        ServiceUnavailable: the editor does not answer.
    """
    if editor:
        return asyncio.run(_listed(editor, bundle))
    from seamline.cli import here

    return here.find_abilities(bundle)


async def _listed(editor: str, bundle: str) -> ListEditsResponse:
    async with Client(editor) as client:
        return await client.list_edits(bundle)


@contextmanager
def opened(editor: str, store: str, console: Console) -> Iterator[Session]:
    """A session for as long as the block runs.

    Args:
        editor: endpoint of an editor that runs; empty to start one here.
        store: URL of the object store; empty for a local directory, which only a local editor can share.
        console: told what starts, and where the logs are if the block fails.

    Raises:
        InvalidInput: a remote editor without a store.
        ServiceUnavailable: a service did not start.
    """
    if editor:
        if not store:
            raise InvalidInput(
                "a remote editor cannot read local files: name the object store that it uses, "
                "with --store or SEAMLINE_STORE",
                field="--store",
            )
        yield Session(endpoint=editor, store=open_store(store))
        return
    url = store or (cache_directory() / "store").as_uri()
    with local_deployment(url, console) as deployment:
        yield Session(
            endpoint=deployment.endpoint("editor"),
            store=open_store(url),
            check=deployment.check,
            tls=Tls(),
            token="",
        )


@contextmanager
def local_deployment(store: str, console: Console) -> Iterator[Deployment]:
    """All services on this machine; their logs are kept only if the block fails."""
    logs = cache_directory() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    directory: Path | None = Path(tempfile.mkdtemp(prefix="run-", dir=logs))
    open_store(store)  # a wrong URL is said once, here, and not by five services
    # On loopback nobody else calls: what is set for an editor elsewhere is not meant for these.
    environment = {"SEAMLINE_DRAIN_SECONDS": "3"} | dict.fromkeys(ELSEWHERE, "")
    deployment = Deployment(directory, store=store, environment=environment)
    try:
        with console.status("starting the services"):
            deployment.start()
        yield deployment
    except Exception:
        console.print(f"the services' logs are in {escape(str(directory))}", style="dim", soft_wrap=True)
        directory = None
        raise
    finally:
        deployment.stop()
        if directory:
            shutil.rmtree(directory, ignore_errors=True)
