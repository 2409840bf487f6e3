"""Where bundles are looked for, and where new ones go."""

import os
from pathlib import Path

from seamline.bundles.manifest import INSTALLED_MANIFEST, MANIFEST, PLAIN_NAME
from seamline.errors import NotFound, Precondition

INSTALLED = Path(__file__).resolve().parents[2] / "bundles"
"""The bundles that come with Seamline."""


def own_bundles() -> Path:
    """The user's own bundles, for where Seamline's directory cannot be written: seamline/bundles in XDG_DATA_HOME."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base).absolute() / "seamline" / "bundles"


def places(search: Path | None) -> tuple[Path, ...]:
    """Directories of bundles, the first to be asked first: the one given, else Seamline's and the user's own."""
    return (Path(search),) if search else (INSTALLED, own_bundles())


def is_recipe(directory: Path) -> bool:
    """Whether a bundle's `bundle.toml` says where to get its networks, and not what they are."""
    return any(line.startswith(b"[sources.") for line in (directory / MANIFEST).read_bytes().splitlines())


def has_weights(directory: Path) -> bool:
    """Whether a bundle can be loaded as it is."""
    return (directory / INSTALLED_MANIFEST).is_file() or not is_recipe(directory)


def bundle_directories(search: Path | None) -> dict[str, Path]:
    """Every bundle by name, in order; of two of a name the first that has its weights."""
    found: dict[str, Path] = {}
    for place in places(search):
        for manifest in sorted(place.glob(f"*/{MANIFEST}")):
            name, directory = manifest.parent.name, manifest.parent
            if PLAIN_NAME.fullmatch(name) and (name not in found or not has_weights(found[name])):
                found[name] = directory
    return found


def find_bundle(name: str, search: Path | None = None) -> Path:
    """The directory of a bundle, with its weights or without.

    Raises:
        NotFound: There is none of that name; the message lists those that can be used.
    """
    if PLAIN_NAME.fullmatch(name):
        there = [place / name for place in places(search) if (place / name / MANIFEST).is_file()]
        if there:
            return next(filter(has_weights, there), there[0])
    usable = [each for each, directory in bundle_directories(search).items() if has_weights(directory)]
    where = " or ".join(str(place) for place in places(search))
    raise NotFound(
        f"no bundle {name!r} in {where}; installed: {', '.join(usable) or 'none'}", field="bundle", bundle=name
    )


def find_installed(name: str, search: Path | None = None) -> Path:
    """The directory of a bundle that can be loaded.

    Raises:
        NotFound: There is none of that name.
        Precondition: There is only a recipe; the message says what to run.
    """
    directory = find_bundle(name, search)
    if not has_weights(directory):
        raise Precondition(
            f"bundle {name} has no weights yet: run `seamline bundles fetch {name}`", field="bundle", bundle=name
        )
    return directory
