"""Where a request's video comes from and its result goes, where that is not the store."""

from dataclasses import dataclass

from seamline.errors import InvalidInput
from seamline.storage import Store
from seamline.storage.layout import check_digest
from seamline.v1.editor_pb2 import EditVideoRequest, PreviewVideoRequest
from seamline.v1.media_pb2 import ArtifactRef
from seamline_editor.addresses import Address, Origins, is_address, without_secrets


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The addresses of one request."""

    source: Address | None = None
    target: Address | None = None


def ends_of(request: EditVideoRequest | PreviewVideoRequest, store: Store, origins: Origins) -> Ends:
    """Refuses, before anything is connected to, what this service may not reach.

    Raises:
        InvalidInput: there is no video, its reference is incomplete, it lies outside the store, or an address is not of
            an allowed origin.
    """
    target = origins.check(request.deliver_to, "deliver_to") if request.deliver_to else None
    for name in ("alignment", "inversion"):
        if request.inverted.HasField(name):
            _check_stored(getattr(request.inverted, name), store, f"inverted.{name}")
    if not request.video.uri:
        raise InvalidInput(
            "video.uri is missing: put the video into the object store and name it, or give its address",
            field="video.uri",
        )
    if not is_address(request.video.uri):
        _check_stored(request.video, store, "video")
        return Ends(target=target)
    source = origins.check(request.video.uri, "video.uri")
    if request.video.sha256:
        check_digest(request.video.sha256, "video.sha256")
    return Ends(source=source, target=target)


def _check_stored(ref: ArtifactRef, store: Store, field: str) -> None:
    check_digest(ref.sha256, f"{field}.sha256")
    try:
        store.key(ref.uri)
    except InvalidInput:  # shows all of it, which may hold a secret
        raise InvalidInput(
            f"{field}.uri: {without_secrets(ref.uri)!r} is not in the store of this service; put it there first",
            field=f"{field}.uri",
        ) from None
