"""What a bundle can do, as `EditorService.ListEdits` says it and the command line, which may have no editor."""

from seamline.bundles import Bundle, EditSpec
from seamline.errors import Precondition
from seamline.v1.editor_pb2 import EditInfo, ListEditsResponse
from seamline.v1.inverter_pb2 import InversionMethod, InvertOptions
from seamline.v1.media_pb2 import EditMethod


def abilities(bundle: Bundle) -> ListEditsResponse:
    """Its edits with their strengths and methods, and what else its networks make possible."""
    inversions = [InversionMethod.INVERSION_METHOD_PTI, InversionMethod.INVERSION_METHOD_ENCODER]
    if bundle.has("hyperstyle"):
        inversions.append(InversionMethod.INVERSION_METHOD_HYPERSTYLE)
    return ListEditsResponse(
        bundle=bundle.name,
        edits=[_info(bundle, edit) for edit in bundle.edits.values()],
        text=bundle.has("clip") and bundle.manifest.relevance is not None,
        inversions=inversions,
        style=bundle.has("clip"),
    )


def check_inversion(options: InvertOptions, bundle: Bundle) -> None:
    """Refuses an inversion that the bundle has no network for.

    Raises:
        Precondition: it asks for the hypernetwork, and there is none.
    """
    if options.method == InversionMethod.INVERSION_METHOD_HYPERSTYLE and not bundle.has("hyperstyle"):
        raise Precondition(
            f"bundle {bundle.name} has no hypernetwork; invert by pivotal tuning (pti)", field="invert.method"
        )


def _info(bundle: Bundle, edit: EditSpec) -> EditInfo:
    methods = [EditMethod.EDIT_METHOD_DIRECTION]
    if bundle.has("latent_transformer"):
        names = bundle.manifest.networks["latent_transformer"].config["names"]
        if isinstance(names, list) and edit.name in names:
            methods.append(EditMethod.EDIT_METHOD_LATENT_TRANSFORMER)
    return EditInfo(
        name=edit.name,
        description=edit.description,
        min_strength=edit.min_strength,
        max_strength=edit.max_strength,
        methods=methods,
    )
