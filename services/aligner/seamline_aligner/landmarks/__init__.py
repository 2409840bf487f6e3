"""Landmark backends behind one protocol."""

from seamline.bundles import Bundle
from seamline.errors import Precondition
from seamline_aligner.landmarks.backend import LandmarkBackend

BACKENDS = ("bundle", "dlib", "face-alignment")
OWN_KINDS = ("detector", "landmarks")
"""Networks of the backend "bundle"; where they are missing, those below take their place."""
FAN_KINDS = ("s3fd", "fan4")
"""Networks of the backend "face-alignment", which needs the package where a bundle lacks them."""


def open_backend(name: str, bundle: Bundle) -> LandmarkBackend:
    """Makes the backend of a name in `BACKENDS`; only the chosen one's packages are imported.

    Raises:
        Precondition: its package or weights are not installed, or the bundle has no such networks.
        InvalidInput, NotFound, DigestMismatch: the bundle's networks are damaged.
    """
    if name == "dlib":
        from seamline_aligner.landmarks.dlib_backend import DlibBackend

        return DlibBackend()
    if _has(bundle, *FAN_KINDS) and (name == "face-alignment" or not _has(bundle, *OWN_KINDS)):
        from seamline_aligner.landmarks.fan_backend import FanBackend

        return FanBackend(bundle)
    if name == "face-alignment":
        from seamline_aligner.landmarks.face_alignment_backend import FaceAlignmentBackend

        return FaceAlignmentBackend(str(bundle.device))
    if not _has(bundle, *OWN_KINDS):
        raise Precondition(
            f"bundle {bundle.name} finds no faces by itself: choose dlib or face-alignment (--landmarks dlib)",
            field="options.landmarks",
            bundle=bundle.name,
        )
    from seamline_aligner.landmarks.bundle_backend import BundleBackend

    return BundleBackend(bundle)


def _has(bundle: Bundle, *kinds: str) -> bool:
    return all(bundle.has(kind) for kind in kinds)
