"""The restyle stage: an inversion and a style in, an inversion whose generators draw in that style out."""

from dataclasses import asdict, dataclass

from seamline.bundles import Bundle
from seamline.editing.style import Style
from seamline.errors import Precondition
from seamline.inversion import Inversion, encode_generator, generator_part, pivots_part
from seamline.job import Job
from seamline.storage.artifact import ArtifactWriter, Recipe
from seamline.storage.store import Store
from seamline.v1.media_pb2 import ArtifactRef
from seamline_inverter.style import Learned, learn
from seamline_inverter.style_adaptation import StyleConfig

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Restyled:
    """The stage's result."""

    ref: ArtifactRef
    """To an inversion."""
    learned: Learned


def restyle(
    store: Store, bundle: Bundle, inversion: ArtifactRef, style: Style, config: StyleConfig, job: Job
) -> Restyled:
    """Makes the restyled inversion, or returns the one that exists.

    The pivots stay. What learning the style added to the bundle's weights is added to those of every track: a
    generator that was tuned to a face stays close enough to the bundle's for both changes to add up.

    Args:
        store: where the inversion lies and the new one goes.
        bundle: the networks; the inversion must have been made with the same.
        inversion: reference to it.
        style: the texts, and how much of what they say.
        config: how to learn it.
        job: told of progress, and asked whether to go on.

    Raises:
        Precondition: the inversion was made with another bundle.
        InvalidInput: learning the style diverged.
        NotFound, DigestMismatch, StoreUnavailable: as `Artifact.open`.
        Cancelled: as `Job.check`.
    """
    source = Inversion.open(store, inversion)
    if source.bundle_digest != bundle.digest:
        raise Precondition(
            f"the inversion was made with another bundle than the installed {bundle.name!r}; start again from the "
            "video",
            field="inversion",
        )
    learned = learn(store, bundle, style, config, job)
    recipe = Recipe(
        video=source.video,
        stage="invert",
        version=VERSION,
        inputs={"inversion": source.sha256, "style": learned.ref.sha256, "bundle": bundle.digest},
        parameters={"strength": style.strength},
    )
    writer = ArtifactWriter(store, recipe)
    if done := writer.finished():
        return Restyled(ref=done, learned=learned)
    parts: list[str] = []
    with job.step("apply", total=len(source.tracks)) as step:
        for track in source.tracks:
            parts += _apply(source, track, learned, style.strength, bundle, writer)
            step.advance()
    meta = source.artifact.meta | {"styles": [asdict(one) for one in (*source.styles, style)]}
    return Restyled(ref=writer.finish(meta, parts), learned=learned)


def _apply(
    source: Inversion, track: int, learned: Learned, strength: float, bundle: Bundle, writer: ArtifactWriter
) -> list[str]:
    """Writes one track's parts unless they exist; returns their names."""
    pivots, weights = pivots_part(track), generator_part(track)
    if not writer.has_part(weights):
        generator = source.tune(bundle.generator(), track)
        learned.add_to(generator, strength)
        writer.put_part(pivots, source.artifact.read_part(pivots))
        writer.put_part(weights, encode_generator(generator))
    return [pivots, weights]
