"""One preview: aligned, inverted and restyled as for an edit, then drawn without tuning any frame."""

from contextlib import aclosing

from seamline.bundles import Bundle
from seamline.storage import Store
from seamline.v1.editor_pb2 import PreviewVideoRequest, PreviewVideoResult
from seamline.v1.media_pb2 import Progress
from seamline.v1.stitcher_pb2 import PreviewRequest
from seamline_editor.stages import Events, Here, Run, Stages

SHEET = "image/png"


class PreviewRun(Run):
    """One PreviewVideo call under way."""

    def __init__(self, request: PreviewVideoRequest, bundle: Bundle, stages: Stages, store: Store, here: Here) -> None:
        self._request = request
        self._result = PreviewVideoResult(bundle=bundle.name)
        super().__init__(request, bundle, stages, store, here, self._result)

    async def events(self) -> Events:
        """Yields the stages' Progress, then the PreviewVideoResult.

        Raises:
            SeamlineError: what a stage raised.
        """
        stages = [*self._beginning, ("preview", self._preview), *self._ending(self._result.sheet, SHEET)]
        async with aclosing(self._run(stages)) as progress:
            async for event in progress:
                yield event
        yield self._result

    async def _preview(self) -> Events:
        request = PreviewRequest(
            alignment=self._aligned.alignment,
            inversion=self._inversion,
            bundle=self._bundle,
            variants=self._request.variants,
            frame_count=self._request.frame_count,
            algorithm=self._request.invert.algorithm,
        )
        async with aclosing(self._stages.preview.call(request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    self._result.sheet.CopyFrom(event.sheet)
                    self._result.frames.extend(event.frames)
                yield event
