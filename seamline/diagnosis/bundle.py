"""Whether a bundle is installed, and is what its manifest says."""

import hashlib
from pathlib import Path

from seamline.bundles import DEFAULT_BUNDLE
from seamline.bundles.manifest import Manifest, WeightFile, read_manifest
from seamline.bundles.places import find_installed
from seamline.bundles.verify import check_file, remedy
from seamline.diagnosis.check import fault, ok
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition
from seamline.storage.reference import sha256_of
from seamline.v1.diagnostics_pb2 import Check

SUBJECT = "bundle"


def check_bundle(name: str, search: Path | None) -> Check:
    """Reads every file of a bundle and compares its digest.

    Args:
        name: empty for the default.
        search: directory of the installed bundles; None for those that come with Seamline.
    """
    name = name or DEFAULT_BUNDLE
    try:
        directory, manifest, digest = _installed(name, search)
    except NotFound as error:
        return fault(SUBJECT, str(error), f"mount or fetch {name} where SEAMLINE_BUNDLES points, or ask for another")
    except Precondition as error:
        return fault(SUBJECT, str(error), f"seamline bundles fetch {name}")
    except InvalidInput as error:
        return fault(SUBJECT, str(error), "install the bundle again")
    faults = [wrong for entry in manifest.files().values() if (wrong := _fault_in(directory, entry))]
    if faults:
        return fault(SUBJECT, "; ".join(faults), remedy(manifest))
    return ok(SUBJECT, f"{name}, manifest {digest[:12]}: {len(manifest.files())} files have their digests")


def bundle_digest(name: str, search: Path | None) -> str:
    """Digest of a bundle's manifest, which holds those of its files; empty if there is no such bundle."""
    try:
        return _installed(name or DEFAULT_BUNDLE, search)[2]
    except (NotFound, Precondition, InvalidInput):
        return ""


def _installed(name: str, search: Path | None) -> tuple[Path, Manifest, str]:
    directory = find_installed(name, search)
    manifest, content = read_manifest(directory)
    return directory, manifest, hashlib.sha256(content).hexdigest()


def _fault_in(directory: Path, entry: WeightFile) -> str:
    path = directory / entry.file
    try:
        check_file(directory, entry)
        damaged = sha256_of(path) != entry.sha256
    except (NotFound, DigestMismatch) as error:
        return str(error)
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"
    return f"{path}: its bytes are not those that the manifest names" if damaged else ""
