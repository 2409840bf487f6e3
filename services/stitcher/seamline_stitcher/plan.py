"""What the stitcher is asked for, checked against what it is given."""

from dataclasses import asdict, dataclass, field
from typing import Any

from seamline.algorithm import Algorithm
from seamline.alignment import Alignment, Range
from seamline.bundles import Bundle
from seamline.editing.edit import PlannedEdit
from seamline.errors import InvalidInput, Precondition
from seamline.inversion import Inversion
from seamline.storage.store import Store
from seamline.v1.media_pb2 import ArtifactRef
from seamline_stitcher.blending import Blend
from seamline_stitcher.masks import MaskConfig
from seamline_stitcher.stitching_tuning import StitchingConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done."""

    edits: tuple[PlannedEdit, ...]
    """Applied together."""
    frames: Range
    """Frames of the video, [start, end)."""
    blend: Blend = Blend.STITCH
    """How the edited faces get into the frames."""
    tuning: StitchingConfig = field(default_factory=StitchingConfig)
    """Only of `Blend.STITCH`."""
    masks: MaskConfig = field(default_factory=MaskConfig)
    algorithm: Algorithm = Algorithm.DEFAULT
    """STIT's also pastes as STIT does."""

    def parameters(self) -> dict[str, Any]:
        """All of it that changes the result, as JSON values."""
        return {
            "edits": [edit.parameters() for edit in self.edits],
            "frames": list(self.frames),
            "blend": self.blend.value,
            "tuning": asdict(self.tuning) if self.blend is Blend.STITCH else None,
            "masks": asdict(self.masks),
        } | ({"algorithm": self.algorithm.value} if self.algorithm is Algorithm.STIT else {})

    def check(self, aligned: Alignment, inverted: Inversion) -> None:
        """Raises InvalidInput if there is neither edit nor style, or the range is empty or outside the video."""
        start, end = self.frames
        if not 0 <= start < end <= aligned.frame_count:
            raise InvalidInput(
                f"the range {start} to {end} must hold frames of the video, which has {aligned.frame_count}",
                field="range",
            )
        if not self.edits and not inverted.styles:
            raise InvalidInput("there is no edit; name at least one", field="edits")


def opened(store: Store, bundle: Bundle, alignment: ArtifactRef, inversion: ArtifactRef) -> tuple[Alignment, Inversion]:
    """Opens an alignment and its inversion.

    Raises:
        Precondition: they and the bundle do not belong together.
        NotFound, DigestMismatch, StoreUnavailable, InvalidInput: as `Artifact.open`.
    """
    aligned, inverted = Alignment.open(store, alignment), Inversion.open(store, inversion)
    if inverted.alignment_sha256 != aligned.sha256:
        raise Precondition("the inversion was made from another alignment; invert this one", field="inversion")
    for name, digest in (("alignment", aligned.bundle_digest), ("inversion", inverted.bundle_digest)):
        if digest != bundle.digest:
            raise Precondition(
                f"the {name} was made with another bundle than the installed {bundle.name!r}; "
                "start again from the video",
                field=name,
            )
    return aligned, inverted
