"""What the editor refuses before any work."""

from collections.abc import Sequence

from seamline.algorithm import Algorithm
from seamline.bundles import Bundle
from seamline.client.abilities import check_inversion
from seamline.editing.edit import planned
from seamline.editing.style import planned_style
from seamline.errors import InvalidInput
from seamline.tuning import INVERT_RANGES, PASS_FACTORS, STITCH_RANGES, check_ranges
from seamline.v1.editor_pb2 import EditVideoRequest, PreviewVideoRequest
from seamline.v1.inverter_pb2 import InversionMethod, PivotMethod
from seamline.v1.stitcher_pb2 import Blend

PREVIEW_FRAMES = 3
"""Shown where the request does not say how many."""
MOST_PICTURES = 256
"""Variants times frames of one preview."""
MOST_TEXTS = 32
"""Different text edits of one preview: each is read, in a second or so, before the work begins."""


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
    _check_known(request.stitch.blend, Blend.values(), "stitch.blend")
    check_ranges(request.stitch, STITCH_RANGES, "stitch")
    Algorithm.of(request.stitch.algorithm, "stitch.algorithm")


def check_preview(request: PreviewVideoRequest, bundle: Bundle) -> None:
    """Refuses a preview in the same way; each error names the variant.

    Raises:
        InvalidInput: also where there is no variant, or more pictures than `MOST_PICTURES` or texts than `MOST_TEXTS`.
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
    edits = [edit for variant in request.variants for edit in variant.edits]
    texts = {edit.text.SerializeToString() for edit in edits if edit.HasField("text")}
    if len(texts) > MOST_TEXTS:
        raise InvalidInput(f"{len(texts)} different texts are asked for, of {MOST_TEXTS} at most", field="variants")
    for index, variant in enumerate(request.variants):
        planned(variant.edits, bundle, f"variants[{index}].edits")


def _check(request: EditVideoRequest | PreviewVideoRequest, bundle: Bundle) -> None:
    check_inversion(request.invert, bundle)
    _check_known(request.invert.method, InversionMethod.values(), "invert.method")
    _check_known(request.invert.pivots, PivotMethod.values(), "invert.pivots")
    check_ranges(request.invert, {**INVERT_RANGES, **PASS_FACTORS}, "invert")
    if request.HasField("style"):
        planned_style(request.style, bundle)
    Algorithm.of(request.invert.algorithm, "invert.algorithm")


def _check_known(number: int, known: Sequence[int], field: str) -> None:
    if number not in known:
        raise InvalidInput(
            f"{field} is {number}, which this version does not know: use one of {', '.join(map(str, known))}",
            field=field,
        )


def _known(bundle: Bundle) -> str:
    return ", ".join(sorted(bundle.edits))
