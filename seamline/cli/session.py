"""An editor to talk to: one that runs elsewhere, or one started here with all its stages."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from seamline.cli.arguments import cache_directory
from seamline.deployment import Deployment
from seamline.errors import InvalidInput
from seamline.storage import Store, open_store


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where the editor is, and the store that it shares with us."""

    endpoint: str
    store: Store
    check: Callable[[], None] = lambda: None
    """Raises ServiceUnavailable once a service that was started here has ended: nobody else would start it again."""


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
        yield Session(endpoint=deployment.endpoint("editor"), store=open_store(url), check=deployment.check)


@contextmanager
def local_deployment(store: str, console: Console) -> Iterator[Deployment]:
    """All services on this machine; their logs are kept only if the block fails."""
    logs = cache_directory() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    directory: Path | None = Path(tempfile.mkdtemp(prefix="run-", dir=logs))
    open_store(store)  # a wrong URL is said once, here, and not by five services
    deployment = Deployment(directory, store=store, environment={"SEAMLINE_DRAIN_SECONDS": "3"})
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
