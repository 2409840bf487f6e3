"""What a request brings along of its video: an alignment and an inversion, made earlier or imported."""

from seamline.alignment import Alignment
from seamline.errors import InvalidInput
from seamline.inversion import Inversion
from seamline.storage import Store
from seamline.v1.aligner_pb2 import AlignResult
from seamline.v1.editor_pb2 import InvertedVideo
from seamline.v1.inverter_pb2 import InvertResult
from seamline.v1.media_pb2 import ArtifactRef, VideoInfo


def taken_up(store: Store, given: InvertedVideo, video: ArtifactRef) -> tuple[AlignResult, InvertResult]:
    """What aligning and inverting would have given.

    Args:
        store: where everything lies.
        given: what the request brings along.
        video: the request's video.

    Raises:
        NotFound, DigestMismatch, InvalidInput: as `Artifact.open`.
        InvalidInput: they are of another video, or not of each other.
    """
    aligned, inverted = Alignment.open(store, given.alignment), Inversion.open(store, given.inversion)
    facts = dict(aligned.artifact.meta["video"])
    if facts.pop("sha256") != video.sha256:
        raise InvalidInput(
            "the alignment that was brought along is of another video; name the one it was made of",
            field="inverted.alignment",
        )
    if inverted.alignment_sha256 != aligned.sha256:
        raise InvalidInput(
            "the inversion that was brought along is of another alignment; give the two that belong together",
            field="inverted.inversion",
        )
    tracks = inverted.artifact.meta["tracks"]
    frames = sum(track["frames"] for track in tracks)
    pivot_psnr_db, psnr_db = (
        sum(track["frames"] * track[name] for track in tracks) / max(frames, 1) for name in ("pivot_psnr_db", "psnr_db")
    )
    result = InvertResult(
        inversion=given.inversion,
        pivot_psnr_db=pivot_psnr_db,
        psnr_db=psnr_db,
        passes=sum(track["passes"] for track in tracks),
    )
    return AlignResult(alignment=given.alignment, video=VideoInfo(**facts)), result
