"""The client of the editor service: what a product backend uses."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Self

import grpc

from seamline.client.channel import open_channel
from seamline.client.connecting import answered
from seamline.client.diagnosis import EDITOR_SECONDS, diagnosed
from seamline.client.stage import Retry, call_stage, request_metadata
from seamline.client.tokens import TOKEN
from seamline.rpc.errors import error_from_call
from seamline.rpc.tls import Tls
from seamline.v1 import editor_pb2
from seamline.v1.aligner_pb2 import AlignOptions
from seamline.v1.diagnostics_pb2 import DiagnoseRequest, DiagnoseResponse
from seamline.v1.editor_pb2_grpc import EditorServiceStub
from seamline.v1.inverter_pb2 import InvertOptions
from seamline.v1.media_pb2 import ArtifactRef, Edit, Progress, TextStyle, Variant
from seamline.v1.stitcher_pb2 import StitchOptions

Edits = Mapping[str, float] | Sequence[Edit]
"""Edits that are applied together: {"smile": 2.0}, or messages, which can do more."""

Video = ArtifactRef | str
"""A source in the object store, or the https address of one, of an origin that the editor allows. With a reference
whose uri is an address the digest can be given, so that what was fetched once is not fetched again."""


class Client:
    """Edits videos through one editor.

    async with Client("editor:50051") as client:
        async for event in client.edit_video(video, {"smile": 1.5}):
            print(event)  # Progress, …, Progress, EditVideoResult
    """

    def __init__(
        self,
        endpoint: str,
        *,
        tls: Tls | None = None,
        token: str | None = None,
        retry: Retry = Retry(),
    ) -> None:
        """Makes a client of the editor at `endpoint`, "host:port" or "dns:///host:port".

        Args:
            endpoint: where the editor is.
            tls: `Tls()` for plaintext; None for SEAMLINE_TLS_CA, SEAMLINE_TLS_CERTIFICATE and SEAMLINE_TLS_KEY.
            token: None for SEAMLINE_TOKEN, "" for none.
            retry: how much to put up with.

        Raises:
            InvalidInput: the endpoint is empty, a file is wrong, or the token would travel unencrypted.
        """
        self._endpoint = endpoint
        self._retry = retry
        self._channel = open_channel(
            endpoint,
            tls=Tls.from_environment() if tls is None else tls,
            token=os.environ.get(TOKEN, "") if token is None else token,
        )
        self._stub = EditorServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._channel.close()

    def edit_video(
        self,
        video: Video,
        edits: Edits,
        *,
        bundle: str = "",
        align: AlignOptions | None = None,
        invert: InvertOptions | None = None,
        stitch: StitchOptions | None = None,
        style: TextStyle | None = None,
        inverted: editor_pb2.InvertedVideo | None = None,
        deliver_to: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[Progress | editor_pb2.EditVideoResult, None]:
        """Yields the stages' Progress, then the EditVideoResult; closing the iterator cancels the edit.

        Args:
            video: the source.
            edits: strength of each edit by name, as `list_edits` gives them; or messages, for strengths over time,
                texts and methods. With a style there may be none.
            bundle: name of an installed bundle; empty for the default.
            align, invert, stitch: options of the stages; None for the defaults.
            style: what the generator learns from two texts; None for nothing.
            inverted: what exists already, in place of aligning and inverting.
            deliver_to: an https address, such as a presigned one for PUT, to which the editor sends the edited video.
            timeout: seconds for the whole edit; None for as long as it takes.

        Raises:
            SeamlineError: what a stage raised, of the same type.
        """
        request = editor_pb2.EditVideoRequest(
            video=as_reference(video),
            bundle=bundle,
            edits=as_messages(edits),
            align=align,
            invert=invert,
            stitch=stitch,
            style=style,
            inverted=inverted,
            deliver_to=deliver_to,
        )
        return self._call(self._stub.EditVideo, request, timeout)

    def preview_video(
        self,
        video: Video,
        variants: Sequence[Edits],
        *,
        frame_count: int = 0,
        bundle: str = "",
        align: AlignOptions | None = None,
        invert: InvertOptions | None = None,
        style: TextStyle | None = None,
        inverted: editor_pb2.InvertedVideo | None = None,
        deliver_to: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[Progress | editor_pb2.PreviewVideoResult, None]:
        """Yields the stages' Progress, then the PreviewVideoResult, whose sheet shows what edits would look like.

        Args:
            video: the source.
            variants: the sheet's columns, after the source's.
            frame_count: its rows; 0 for 3.
            bundle, align, invert, style, inverted, timeout: as in `edit_video`, which then need not align and
                invert again.
            deliver_to: where the editor sends the sheet, as in `edit_video`.

        Raises:
            SeamlineError: what a stage raised, of the same type.
        """
        request = editor_pb2.PreviewVideoRequest(
            video=as_reference(video),
            bundle=bundle,
            variants=[Variant(edits=as_messages(edits)) for edits in variants],
            frame_count=frame_count,
            align=align,
            invert=invert,
            style=style,
            inverted=inverted,
            deliver_to=deliver_to,
        )
        return self._call(self._stub.PreviewVideo, request, timeout)

    async def list_edits(self, bundle: str = "") -> editor_pb2.ListEditsResponse:
        """The name of the bundle, resolved, its edits with strengths and methods, and its ways to invert.

        Raises:
            NotFound: no such bundle.
            ServiceUnavailable: the editor does not answer.
        """
        call = self._stub.ListEdits(
            editor_pb2.ListEditsRequest(bundle=bundle), wait_for_ready=True, metadata=request_metadata()
        )
        try:
            await answered(call, self._endpoint, self._retry.connect_seconds, self._channel)
            return await call
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, self._endpoint) from None
        finally:
            call.cancel()

    async def diagnose(self, bundle: str = "", *, probe: str = "") -> DiagnoseResponse:
        """What is wrong with the editor and the replicas it calls, if anything is.

        Args:
            bundle: that they are to have; empty for the default.
            probe: key, below probes/, of an object that the store must have; empty for none.

        Raises:
            ServiceUnavailable: the editor does not answer.
        """
        request = DiagnoseRequest(bundle=bundle, probe=probe)
        return await diagnosed(self._channel, self._endpoint, request, EDITOR_SECONDS)

    async def erase(
        self, video: ArtifactRef, *, keep_source: bool = False, timeout: float | None = None
    ) -> editor_pb2.EraseResponse:
        """Removes everything that was made of a video, finished or not, and the video itself if it lies in the store.

        Cancel edits of it first: what they write later stays. It may be repeated, and is to be if it breaks off.

        Args:
            video: its digest; its address where it lies in the store, or none.
            keep_source: leave the video itself.
            timeout: seconds; None for as long as it takes.

        Raises:
            InvalidInput: the digest is missing, the address lies outside the store, or another video lies there.
            Forbidden: the editor lets this client not erase.
            ServiceUnavailable, StoreUnavailable: the editor, or its store, does not answer.
        """
        request = editor_pb2.EraseRequest(video=video, keep_source=keep_source)
        try:
            return await self._stub.Erase(request, timeout=timeout, metadata=request_metadata())
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, self._endpoint) from None

    def _call(self, method: Any, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        return call_stage(method, request, self._endpoint, channel=self._channel, timeout=timeout, retry=self._retry)


def as_reference(video: Video) -> ArtifactRef:
    """The video as requests have it."""
    return ArtifactRef(uri=video) if isinstance(video, str) else video


def as_messages(edits: Edits) -> list[Edit]:
    """The edits as requests have them."""
    if isinstance(edits, Mapping):
        return [Edit(name=name, strength=strength) for name, strength in edits.items()]
    return list(edits)
