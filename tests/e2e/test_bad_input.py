"""What the editor says to what it cannot edit, and that it goes on serving."""

import asyncio

import pytest
from grpc import StatusCode

from seamline.errors import (
    DigestMismatch,
    InvalidInput,
    NoFace,
    NotFound,
    SeamlineError,
    UnknownEdit,
    UnreadableVideo,
)
from seamline.rpc.errors import mapping_of
from seamline.v1.media_pb2 import ArtifactRef
from tests.calling import SERVING, health_of
from tests.e2e.clips import damaged, faceless

pytestmark = pytest.mark.e2e

SMILE = {"smile": 1.0}
NOWHERE = "0" * 64


def _not_a_video(system, clip, tmp):
    path = tmp / "notes.mp4"
    path.write_text("these are notes, not a video\n" * 50)
    return system.upload(path)


def _empty(system, clip, tmp):
    path = tmp / "empty.mp4"
    path.write_bytes(b"")
    return system.upload(path)


def _damaged(system, clip, tmp):
    return system.upload(damaged(tmp / "damaged.mp4"))


def _faceless(system, clip, tmp):
    return system.upload(faceless(tmp / "faceless.mp4"))


def _missing(system, clip, tmp):
    return ArtifactRef(uri=system.store.uri("videos/no-such.mp4"), sha256=NOWHERE)


def _wrong_digest(system, clip, tmp):
    return ArtifactRef(uri=system.upload(clip).uri, sha256=NOWHERE)


def _elsewhere(system, clip, tmp):
    return ArtifactRef(uri="file:///etc/hostname", sha256=NOWHERE)


def _good(system, clip, tmp):
    return system.upload(clip)


def _absent(system, clip, tmp):
    return ArtifactRef()


MATRIX = [
    (_not_a_video, SMILE, {}, UnreadableVideo, "notes.mp4"),
    (_empty, SMILE, {}, UnreadableVideo, "empty.mp4"),
    (_damaged, SMILE, {}, UnreadableVideo, "damaged.mp4"),
    (_faceless, SMILE, {}, NoFace, "faceless.mp4"),
    (_missing, SMILE, {}, NotFound, "no-such.mp4"),
    (_wrong_digest, SMILE, {}, DigestMismatch, "SHA-256"),
    (_elsewhere, SMILE, {}, InvalidInput, "not in the store"),
    (_absent, SMILE, {}, InvalidInput, "put the video into the object store"),
    (_good, {"wings": 1.0}, {}, UnknownEdit, "no edit 'wings'"),
    (_good, {"smile": 1e6}, {}, UnknownEdit, "takes strengths from"),
    (_good, {"smile": float("nan")}, {}, UnknownEdit, "takes strengths from"),
    (_good, {}, {}, InvalidInput, "no edit is given"),
    (_good, SMILE, {"bundle": "no-such-bundle"}, NotFound, "no-such-bundle"),
    (_good, SMILE, {"bundle": "../../etc"}, NotFound, "etc"),
]
STATUS = {
    UnreadableVideo: StatusCode.INVALID_ARGUMENT,
    UnknownEdit: StatusCode.INVALID_ARGUMENT,
    InvalidInput: StatusCode.INVALID_ARGUMENT,
    NotFound: StatusCode.NOT_FOUND,
    NoFace: StatusCode.FAILED_PRECONDITION,
    DigestMismatch: StatusCode.DATA_LOSS,
}


@pytest.mark.parametrize(
    ("video", "edits", "options", "kind", "text"), MATRIX, ids=lambda value: getattr(value, "__name__", None)
)
def test_is_refused_clearly(system, clip, tmp_path, video, edits, options, kind, text):
    with pytest.raises(SeamlineError) as raised:
        system.edit(video(system, clip, tmp_path), edits, **options)
    assert type(raised.value) is kind, raised.value
    assert mapping_of(raised.value).code is STATUS[kind]
    assert text in str(raised.value)
    assert "Traceback" not in str(raised.value)


def test_every_service_is_well_afterwards(system):
    for name, service in system.deployment.services.items():
        assert service.process.poll() is None, name
        assert asyncio.run(health_of(service.endpoint)) == SERVING, name
