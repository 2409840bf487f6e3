"""Landmark backends behind one protocol."""

from seamline.bundles import Bundle
from seamline_aligner.landmarks.backend import LandmarkBackend

BACKENDS = ("bundle", "dlib", "face-alignment")


def open_backend(name: str, bundle: Bundle) -> LandmarkBackend:
    """Makes the backend of a name in `BACKENDS`; only the chosen one's packages are imported.

    Raises:
        Precondition: its package or weights are not installed.
        InvalidInput, NotFound, DigestMismatch: the bundle lacks the networks, or they are damaged.
    """
    if name == "dlib":
        from seamline_aligner.landmarks.dlib_backend import DlibBackend

        return DlibBackend()
    if name == "face-alignment":
        from seamline_aligner.landmarks.face_alignment_backend import FaceAlignmentBackend

        return FaceAlignmentBackend(str(bundle.device))
    from seamline_aligner.landmarks.bundle_backend import BundleBackend

    return BundleBackend(bundle)
