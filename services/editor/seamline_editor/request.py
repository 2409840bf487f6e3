"""What the editor refuses before any work."""

from seamline.bundles import Bundle
from seamline.client.abilities import check_inversion
from seamline.editing.edit import planned
from seamline.editing.style import planned_style
from seamline.errors import InvalidInput
from seamline.tuning import Algorithm
from seamline.v1.editor_pb2 import EditVideoRequest, PreviewVideoRequest
from seamline.v1.stitcher_pb2 import Blend

PREVIEW_FRAMES = 3
"""Shown where the request does not say how many."""
MOST_PICTURES = 256
"""Variants times frames of one preview."""


def check_edit(request: EditVideoRequest, bundle: Bundle) -> None:
    """Refuses an edit that would fail after minutes of work.

    Raises:
        InvalidInput: there is neither edit nor style; or one is given twice or contradicts itself, or the
            style is not possible.
        UnknownEdit: the bundle cannot do an edit, or not that strongly.
        Precondition: the bundle has no network for what is asked.
    """
    _check(request, bundle)
    if not request.edits and not request.HasField("style"):
        raise InvalidInput(f"no edit is given; bundle {bundle.name} has: {_known(bundle)}", field="edits")
    planned(request.edits, bundle)
    if request.stitch.blend not in Blend.values():
        raise InvalidInput(
            f"blend is {request.stitch.blend}, which this version does not know: use one of {Blend.values()}",
            field="stitch.blend",
        )
    Algorithm.of(request.stitch.algorithm, "stitch.algorithm")


def check_preview(request: PreviewVideoRequest, bundle: Bundle) -> None:
    """Refuses a preview in the same way; each error names the variant.

    Raises:
        InvalidInput: also where there is no variant, or more pictures than `MOST_PICTURES`.
        UnknownEdit, Precondition: as `check_edit`.
    """
    _check(request, bundle)
    if not request.variants:
        raise InvalidInput(f"no variant is given; bundle {bundle.name} has: {_known(bundle)}", field="variants")
    frames = request.frame_count or PREVIEW_FRAMES
    if len(request.variants) * frames > MOST_PICTURES:
        raise InvalidInput(
            f"{len(request.variants)} variants of {frames} frames are more than {MOST_PICTURES} pictures; "
            "ask for fewer",
            field="frame_count",
        )
    for index, variant in enumerate(request.variants):
        planned(variant.edits, bundle, f"variants[{index}].edits")


def _check(request: EditVideoRequest | PreviewVideoRequest, bundle: Bundle) -> None:
    check_inversion(request.invert, bundle)
    if request.HasField("style"):
        planned_style(request.style, bundle)
    Algorithm.of(request.invert.algorithm, "invert.algorithm")


def _known(bundle: Bundle) -> str:
    return ", ".join(sorted(bundle.edits))
