import pytest
from seamline_editor.edit import check_request

from seamline.errors import InvalidInput, UnknownEdit
from seamline.v1.editor_pb2 import EditVideoRequest
from seamline.v1.media_pb2 import ArtifactRef, Edit
from tests.fakes.bundle import tiny_bundle

VIDEO = ArtifactRef(uri="file:///store/video.mp4", sha256="0" * 64)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundles"))


def _request(*edits, video=VIDEO):
    return EditVideoRequest(video=video, edits=[Edit(name=name, strength=strength) for name, strength in edits])


def test_accepts_what_the_bundle_can_do(bundle):
    check_request(_request(("smile", 3.0), ("age", -2.0)), bundle)


@pytest.mark.parametrize(
    ("request_", "error", "field", "text"),
    [
        (_request(("smile", 1.0), video=None), InvalidInput, "video.uri", "upload it"),
        (_request(), InvalidInput, "edits", "age, smile"),
        (_request(("age", 1.0), ("smile", 1.0), ("age", 1.0)), InvalidInput, "edits[2].name", "twice"),
        (_request(("age", 1.0), ("wings", 1.0)), UnknownEdit, "edits[1].name", "age, smile"),
        (_request(("smile", 1000.0)), UnknownEdit, "edits[0].strength", "-3 to 3"),
        (_request(("smile", float("nan"))), UnknownEdit, "edits[0].strength", "-3 to 3"),
    ],
)
def test_refuses_and_says_what_to_do(bundle, request_, error, field, text):
    with pytest.raises(error, match=text) as raised:
        check_request(request_, bundle)
    assert raised.value.field == field
