"""Looking an installed bundle over: every file, its digest, its shapes, its numbers."""

from collections.abc import Callable
from pathlib import Path

from seamline.bundles.bundle import Bundle
from seamline.bundles.manifest import INSTALLED_MANIFEST, Manifest, WeightFile
from seamline.bundles.places import is_recipe
from seamline.bundles.recipe import read_recipe
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition


def verify(directory: Path, tell: Callable[[str], None] = lambda what: None) -> dict[str, str]:
    """Find what is wrong with a bundle.

    Args:
        directory: The bundle's.
        tell: Told what is looked at: kinds of networks, "directions", "relevance".

    Returns:
        By what has a fault: a line that names the file and what is wrong with it. Empty if all is well.

    Raises:
        InvalidInput: The manifest cannot be read.
    """
    faults: dict[str, str] = {}
    bundle = Bundle(directory)
    if is_recipe(directory) and bundle.manifest.recipe != read_recipe(directory).digest:
        faults["recipe"] = f"{directory / INSTALLED_MANIFEST}: was made from an earlier bundle.toml"
    for what, entry in bundle.manifest.files().items():
        tell(what)
        try:
            check_file(directory, entry)
            _load(directory, what)
        except (DigestMismatch, InvalidInput, NotFound, Precondition) as error:
            faults[what] = str(error)
    return faults


def _load(directory: Path, what: str) -> None:
    """Read one file as a program would, which checks digest, shapes and numbers."""
    bundle = Bundle(directory)  # one of its own, so that what was looked at does not stay in memory
    if what == "directions":
        _ = bundle.directions
    elif what == "relevance":
        _ = bundle.relevance
    else:
        bundle.module(what)


def check_file(directory: Path, entry: WeightFile) -> None:
    """Check that a weight file is there and of its size, without reading it.

    Raises:
        NotFound: It is not there.
        DigestMismatch: It has another size.
    """
    path = directory / entry.file
    if not path.is_file():
        raise NotFound(f"{path}: is missing", path=path)
    if (size := path.stat().st_size) != entry.size:
        raise DigestMismatch(f"{path}: has {size} bytes, the manifest says {entry.size}", path=path)


def remedy(manifest: Manifest) -> str:
    """What mends a bundle that has faults."""
    if manifest.recipe:
        return f"run `seamline bundles fetch {manifest.name}`"
    return "install the bundle again, from its repository or from a packed file"
