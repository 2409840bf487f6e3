"""What the command line finds out by itself from a bundle that is installed here."""

from collections.abc import Sequence
from pathlib import Path

from seamline.bundles import load_bundle
from seamline.cli.arguments import NamedEdits, bundles_directory
from seamline.cli.choices import Choices
from seamline.cli.edits_page import write_edits_page
from seamline.client.abilities import abilities, check_inversion
from seamline.editing.edit import planned
from seamline.editing.style import planned_style
from seamline.v1.editor_pb2 import ListEditsResponse
from seamline.video import probe


def check(source: Path, variants: Sequence[NamedEdits], choices: Choices) -> None:
    """Says what an editor would refuse.

    Raises:
        InvalidInput, UnknownEdit, NotFound, Precondition: as the editor would.
        UnreadableVideo: the source is not a video.
    """
    bundle = load_bundle(choices.bundle, bundles_directory())
    for variant in variants:
        planned(variant.edits, bundle)
        if variant.style:
            planned_style(variant.style, bundle)
    check_inversion(choices.invert_options(), bundle)
    probe(source)


def find_abilities(bundle: str) -> ListEditsResponse:
    """What a bundle can do.

    Raises:
        NotFound: no such bundle.
    """
    return abilities(load_bundle(bundle, bundles_directory()))


def draw_edits(page: Path, bundle: str) -> None:
    """Writes a page with a picture of every edit of a bundle.

    Raises:
        NotFound: no such bundle.
    """
    write_edits_page(page, load_bundle(bundle, bundles_directory()))
