"""The invert stage: alignment in, codes and a generator for each track out."""

from dataclasses import asdict, dataclass

from seamline.alignment import Alignment
from seamline.bundles import Bundle
from seamline.errors import Precondition
from seamline.job import Job
from seamline.storage.artifact import Artifact, ArtifactWriter, Recipe
from seamline.storage.store import Store
from seamline.v1.media_pb2 import ArtifactRef
from seamline_inverter.options import InversionConfig, Method
from seamline_inverter.prediction import hypernetwork_of
from seamline_inverter.track_inversion import TrackFigures, TrackInversion

VERSION = 5


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """The stage's result."""

    ref: ArtifactRef
    tracks: list[TrackFigures]

    @property
    def pivot_psnr_db(self) -> float:
        """Mean over all crops, from the pivots alone."""
        return sum(track.frames * track.pivot_psnr_db for track in self.tracks) / self._frames

    @property
    def psnr_db(self) -> float:
        """Mean over all crops, in the end."""
        return sum(track.frames * track.psnr_db for track in self.tracks) / self._frames

    @property
    def _frames(self) -> int:
        return sum(track.frames for track in self.tracks)


def invert(store: Store, bundle: Bundle, alignment: ArtifactRef, config: InversionConfig, job: Job) -> Inverted:
    """Makes the inversion of an alignment, or returns the one that exists.

    Args:
        store: where the alignment lies and the inversion goes.
        bundle: the networks; the alignment must have been made with the same.
        alignment: reference to it.
        config: how to invert it.
        job: told of progress, and asked whether to go on.

    Raises:
        Precondition: the alignment was made with another bundle, or the bundle lacks the network that is asked for.
        NotFound, DigestMismatch, InvalidInput, StoreUnavailable: as `Artifact.open`.
        Cancelled: as `Job.check`.
    """
    source = Alignment.open(store, alignment)
    if source.bundle_digest != bundle.digest:
        raise Precondition(
            f"the alignment was made with another version of bundle {source.bundle!r} than the installed "
            f"{bundle.name!r}; align the video again",
            field="alignment",
        )
    if config.method is Method.HYPERSTYLE:
        hypernetwork_of(bundle)
    recipe = Recipe(
        video=source.video,
        stage="invert",
        version=VERSION,
        inputs={"alignment": source.sha256, "bundle": bundle.digest},
        parameters=config.parameters,
    )
    writer = ArtifactWriter(store, recipe)
    if done := writer.finished():
        return Inverted(ref=done, tracks=_figures(Artifact.open(store, done, stage="invert")))
    tracks = [
        TrackInversion(store, recipe, writer, track.id, bundle, config, job)
        for track in source.tracks
        if track.visible_frames
    ]
    figures = [track.run(source) for track in tracks]
    meta = {
        "alignment_sha256": source.sha256,
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "tracks": [asdict(track) for track in figures],
    }
    parts = [part for track in tracks for part in track.parts]
    return Inverted(ref=writer.finish(meta, parts), tracks=figures)


def _figures(artifact: Artifact) -> list[TrackFigures]:
    return [TrackFigures(**track) for track in artifact.meta["tracks"]]
