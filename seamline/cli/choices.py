"""The ways to edit that the command line offers, and the stages' options that say so."""

from dataclasses import dataclass
from enum import StrEnum

from seamline.algorithm import Algorithm
from seamline.errors import InvalidInput
from seamline.v1.aligner_pb2 import AlignOptions, LandmarkBackend
from seamline.v1.editor_pb2 import InvertedVideo
from seamline.v1.inverter_pb2 import InversionMethod, InvertOptions, PivotMethod
from seamline.v1.stitcher_pb2 import Blend, StitchOptions

ANIMATION_PASSES = 3
"""Times as many passes as usual (STIT: 240 for 80)."""


class Landmarks(StrEnum):
    """Who finds the faces and their landmarks."""

    BUNDLE = "bundle"
    DLIB = "dlib"
    FACE_ALIGNMENT = "face-alignment"

    def to_proto(self) -> LandmarkBackend.ValueType:
        """As the aligner's request has it."""
        return LandmarkBackend.Value(f"LANDMARK_BACKEND_{self.name}")


class Inversion(StrEnum):
    """How the generator is made to draw the face."""

    PTI = "pti"
    HYPERSTYLE = "hyperstyle"
    E4E = "e4e"

    def to_proto(self) -> InversionMethod.ValueType:
        """As the inverter's request has it."""
        name = "ENCODER" if self is Inversion.E4E else self.name
        return InversionMethod.Value(f"INVERSION_METHOD_{name}")


class Pivots(StrEnum):
    """Where the codes come from."""

    E4E = "e4e"
    W_OPT = "w-opt"

    def to_proto(self) -> PivotMethod.ValueType:
        """As the inverter's request has it."""
        return PivotMethod.PIVOT_METHOD_ENCODER if self is Pivots.E4E else PivotMethod.PIVOT_METHOD_OPTIMIZED


class Blending(StrEnum):
    """How the edited face gets back into its frame."""

    STITCH = "stitch"
    POISSON = "poisson"
    FEATHER = "feather"
    PASTE = "paste"

    def to_proto(self) -> Blend.ValueType:
        """As the stitcher's request has it."""
        return Blend.Value(f"BLEND_{self.name}")


def blending(asked: Blending, *, no_stitching: bool) -> Blending:
    """What --blend and --no-stitching ask for together.

    Raises:
        InvalidInput: they contradict each other.
    """
    if not no_stitching or asked is Blending.FEATHER:
        return asked
    if asked is not Blending.STITCH:
        raise InvalidInput(f"--blend {asked} is without stitching anyway; leave --no-stitching out", field="--blend")
    return Blending.FEATHER


class Preset(StrEnum):
    """A recipe for a kind of video."""

    ANIMATION = "animation"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """All that is chosen for a video but the edits."""

    bundle: str = ""
    landmarks: Landmarks = Landmarks.BUNDLE
    inversion: Inversion = Inversion.PTI
    pivots: Pivots = Pivots.E4E
    locality: bool = False
    """Whether PTI holds the generator in place away from the pivots; False leaves it to the bundle."""
    blend: Blending = Blending.STITCH
    preset: Preset | None = None
    algorithm: Algorithm = Algorithm.DEFAULT
    inverted: InvertedVideo | None = None
    """What exists already, in place of aligning and inverting."""

    def align_options(self) -> AlignOptions:
        """What the aligner is asked for."""
        # A drawn face jumps from drawing to drawing; a smoothed centre would lag behind it (STIT).
        center_sigma = 0.0 if self.preset is Preset.ANIMATION else None
        return AlignOptions(landmarks=self.landmarks.to_proto(), center_sigma=center_sigma)

    def invert_options(self) -> InvertOptions:
        """What the inverter is asked for."""
        options = InvertOptions(
            method=self.inversion.to_proto(), pivots=self.pivots.to_proto(), algorithm=self.algorithm.to_proto()
        )
        if self.locality:
            options.locality = True
        if self.preset is Preset.ANIMATION:
            options.pass_factor = ANIMATION_PASSES
        return options

    def stitch_options(self) -> StitchOptions:
        """What the stitcher is asked for."""
        return StitchOptions(blend=self.blend.to_proto(), algorithm=self.algorithm.to_proto())

    def names(self) -> dict[str, str]:
        """The choices that change the pictures, for the figures."""
        chosen = {
            "algorithm": self.algorithm,
            "inversion": self.inversion,
            "pivots": self.pivots,
            "blend": self.blend,
        }
        return {name: choice.value for name, choice in chosen.items()}
