"""The editor's client against an editor that answers from a script."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from seamline import errors
from seamline.client import Client, Retry, open_channel
from seamline.rpc.errors import abort
from seamline.v1 import editor_pb2, editor_pb2_grpc
from seamline.v1.aligner_pb2 import AlignOptions
from seamline.v1.media_pb2 import ArtifactRef, Edit, Keyframe, Progress, Variant
from tests.asynchronous import asynchronous

VIDEO = ArtifactRef(uri="file:///videos/a.mp4", sha256="0" * 64)


class ScriptedEditor(editor_pb2_grpc.EditorServiceServicer):
    """Raises the errors it is given, one a call, and then answers; keeps the requests."""

    def __init__(self, *failures: errors.SeamlineError, ends_without_result: bool = False) -> None:
        self.failures = list(failures)
        self.requests: list[object] = []
        self._ends_without_result = ends_without_result

    async def _fail(self, request: object, context: grpc.aio.ServicerContext) -> None:
        self.requests.append(request)
        if self.failures:
            await abort(context, self.failures.pop(0))

    async def ListEdits(  # noqa: N802
        self, request: editor_pb2.ListEditsRequest, context: grpc.aio.ServicerContext
    ) -> editor_pb2.ListEditsResponse:
        await self._fail(request, context)
        return editor_pb2.ListEditsResponse(bundle="avatar-256", edits=[editor_pb2.EditInfo(name="smile")])

    async def Erase(  # noqa: N802
        self, request: editor_pb2.EraseRequest, context: grpc.aio.ServicerContext
    ) -> editor_pb2.EraseResponse:
        await self._fail(request, context)
        return editor_pb2.EraseResponse(objects=7, bytes=70)

    async def EditVideo(  # noqa: N802
        self, request: editor_pb2.EditVideoRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[editor_pb2.EditVideoResponse]:
        yield editor_pb2.EditVideoResponse(progress=Progress(stage="align"))
        await self._fail(request, context)
        if not self._ends_without_result:
            yield editor_pb2.EditVideoResponse(result=editor_pb2.EditVideoResult(bundle="avatar-256"))

    async def PreviewVideo(  # noqa: N802
        self, request: editor_pb2.PreviewVideoRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[editor_pb2.PreviewVideoResponse]:
        yield editor_pb2.PreviewVideoResponse(progress=Progress(stage="preview"))
        await self._fail(request, context)
        yield editor_pb2.PreviewVideoResponse(result=editor_pb2.PreviewVideoResult(frames=[1, 2]))


@asynccontextmanager
async def client_of(editor: ScriptedEditor) -> AsyncIterator[Client]:
    server = grpc.aio.server()
    editor_pb2_grpc.add_EditorServiceServicer_to_server(editor, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        retry = Retry(repeats=2, backoff_seconds=0.01)
        async with Client(f"127.0.0.1:{port}", retry=retry) as client:
            yield client
    finally:
        await server.stop(None)


@asynchronous
async def test_an_edit_yields_progress_and_then_its_result() -> None:
    editor = ScriptedEditor()
    align = AlignOptions(max_gap_frames=3)
    async with client_of(editor) as client:
        events = [event async for event in client.edit_video(VIDEO, {"smile": 1.5, "age": -1}, align=align)]
    assert events == [Progress(stage="align"), editor_pb2.EditVideoResult(bundle="avatar-256")]
    edits = [Edit(name="smile", strength=1.5), Edit(name="age", strength=-1)]
    assert editor.requests == [editor_pb2.EditVideoRequest(video=VIDEO, edits=edits, align=align)]


@asynchronous
async def test_edits_may_be_messages() -> None:
    edits = [Edit(name="smile", keyframes=[Keyframe(strength=0), Keyframe(seconds=1, strength=2)])]
    editor = ScriptedEditor()
    async with client_of(editor) as client:
        _ = [event async for event in client.edit_video(VIDEO, edits)]
    assert editor.requests == [editor_pb2.EditVideoRequest(video=VIDEO, edits=edits)]


@asynchronous
async def test_a_preview_has_a_column_for_every_variant() -> None:
    editor = ScriptedEditor(errors.ServiceUnavailable("gone"))
    older = Edit(name="age", strength=2)
    async with client_of(editor) as client:
        *_, result = [event async for event in client.preview_video(VIDEO, [{"smile": 1}, [older]], frame_count=2)]
    assert result == editor_pb2.PreviewVideoResult(frames=[1, 2])
    variants = [Variant(edits=[Edit(name="smile", strength=1)]), Variant(edits=[older])]
    asked = editor_pb2.PreviewVideoRequest(video=VIDEO, variants=variants, frame_count=2)
    assert editor.requests == [asked, asked]  # repeated after it broke


@asynchronous
async def test_a_broken_edit_is_repeated_with_the_same_request() -> None:
    editor = ScriptedEditor(errors.StoreUnavailable("down"), errors.ServiceUnavailable("gone"))
    async with client_of(editor) as client:
        *_, last = [event async for event in client.edit_video(VIDEO, {"smile": 1})]
    assert isinstance(last, editor_pb2.EditVideoResult)
    assert len(editor.requests) == 3
    assert editor.requests[0] == editor.requests[2]


@asynchronous
async def test_an_edit_that_ends_without_a_result_is_an_error() -> None:
    async with client_of(ScriptedEditor(ends_without_result=True)) as client:
        with pytest.raises(errors.SeamlineError, match=r"127\.0\.0\.1:.* without a result"):
            [event async for event in client.edit_video(VIDEO, {"smile": 1})]


@asynchronous
async def test_edits_are_listed_even_if_the_first_replica_is_unavailable() -> None:
    editor = ScriptedEditor(errors.ServiceUnavailable("draining"), errors.ServiceUnavailable("draining"))
    async with client_of(editor) as client:
        listed = await client.list_edits()
    assert [edit.name for edit in listed.edits] == ["smile"]
    assert len(editor.requests) == 3


@asynchronous
async def test_an_unknown_bundle_is_not_found_and_not_repeated() -> None:
    editor = ScriptedEditor(errors.NotFound("no bundle “x”; installed: avatar-256", field="bundle"))
    async with client_of(editor) as client:
        with pytest.raises(errors.NotFound, match="installed: avatar-256") as caught:
            await client.list_edits("x")
    assert caught.value.field == "bundle"
    assert editor.requests == [editor_pb2.ListEditsRequest(bundle="x")]


@asynchronous
async def test_erasing_says_what_went_and_is_repeated_when_the_store_is_away() -> None:
    editor = ScriptedEditor(errors.StoreUnavailable("down"))
    async with client_of(editor) as client:
        erased = await client.erase(VIDEO, keep_source=True)
        assert (erased.objects, erased.bytes) == (7, 70)
        assert editor.requests == [editor_pb2.EraseRequest(video=VIDEO, keep_source=True)] * 2
        editor.failures.append(errors.InvalidInput("no digest", field="video.sha256"))
        with pytest.raises(errors.InvalidInput, match="no digest") as caught:
            await client.erase(ArtifactRef())
    assert caught.value.field == "video.sha256"


@asynchronous
async def test_an_editor_that_is_not_there_is_named() -> None:
    async with Client("127.0.0.1:1", retry=Retry(connect_seconds=0.3)) as client:
        with pytest.raises(errors.ServiceUnavailable, match=r"127\.0\.0\.1:1 did not answer within 0\.3 s"):
            await client.list_edits()


@pytest.mark.parametrize("endpoint", ["", "https://editor.example:443", "grpcs://editor:50051"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(errors.InvalidInput, match="host:port") as caught:
        open_channel(endpoint)
    assert caught.value.field == "endpoint"
