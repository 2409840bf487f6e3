"""The inverter over its socket."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import safetensors.torch
import torch
from seamline_inverter import checkpoint
from seamline_inverter.config import InverterConfig
from seamline_inverter.servicer import InverterServicer

from seamline.bundles import Bundle
from seamline.client import call_stage, open_channel
from seamline.errors import DigestMismatch, InvalidInput, NotFound, Precondition
from seamline.inversion import Inversion
from seamline.rpc.server import started
from seamline.storage import Store, open_store
from seamline.v1.inverter_pb2 import (
    INVERSION_METHOD_ENCODER,
    INVERSION_METHOD_HYPERSTYLE,
    PIVOT_METHOD_OPTIMIZED,
    InversionMethod,
    InvertOptions,
    InvertRequest,
    InvertResult,
    RestyleOptions,
    RestyleRequest,
    RestyleResult,
)
from seamline.v1.inverter_pb2_grpc import InverterServiceStub, add_InverterServiceServicer_to_server
from seamline.v1.media_pb2 import ALGORITHM_STIT, ArtifactRef, Progress, TextStyle
from tests.asynchronous import asynchronous
from tests.calling import AT_ONCE
from tests.fakes.alignment import put_alignment
from tests.fakes.bundle import NAME, tiny_bundle
from tests.fakes.lesser_bundle import bundle_without

SERVICE = "seamline.v1.InverterService"
OLD = TextStyle(neutral="face", target="old face")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}")


@asynccontextmanager
async def serving(store: Store, bundle: Bundle) -> AsyncIterator[InverterServiceStub]:
    url = store.uri("x").removesuffix("/x")
    bundles = bundle.directory.parent
    config = InverterConfig(host="127.0.0.1", port=0, metrics_port=0, store=url, bundles_path=bundles)

    def register(server: grpc.aio.Server) -> None:
        add_InverterServiceServicer_to_server(InverterServicer(config, open_store(config.store)), server)

    async with (
        started(config, register, SERVICE) as ports,
        open_channel(f"127.0.0.1:{ports.grpc}") as channel,
    ):
        yield InverterServiceStub(channel)


def request(alignment: ArtifactRef, **options: Any) -> InvertRequest:
    return InvertRequest(alignment=alignment, bundle=NAME, options=InvertOptions(**options))


async def call(stub: InverterServiceStub, message: InvertRequest) -> list[Progress | InvertResult]:
    return [event async for event in call_stage(stub.Invert, message, "inverter:1", retry=AT_ONCE)]


def styled(inversion: ArtifactRef, style: TextStyle = OLD, **options: Any) -> RestyleRequest:
    return RestyleRequest(inversion=inversion, bundle=NAME, style=style, options=RestyleOptions(**options))


async def restyled(stub: InverterServiceStub, message: RestyleRequest) -> list[Progress | RestyleResult]:
    return [event async for event in call_stage(stub.Restyle, message, "inverter:1", retry=AT_ONCE)]


@asynchronous
async def test_inverts_and_tells_of_its_progress(store: Store, bundle: Bundle) -> None:
    alignment = put_alignment(store, bundle)
    async with serving(store, bundle) as stub:
        *progress, result = await call(stub, request(alignment, max_passes=3))
        *_, again = await call(stub, request(alignment, max_passes=3))
    assert Inversion.open(store, result.inversion).alignment_sha256 == alignment.sha256
    assert result.passes == 3
    assert result.psnr_db > result.pivot_psnr_db
    assert {"encode", "pti"} <= result.timing.step_seconds.keys()
    steps = [message for message in progress if message.step == "pti"]
    assert (steps[-1].done, steps[-1].total) == (30, 30)
    assert steps[-1].figures["psnr_db"] == pytest.approx(result.psnr_db)
    assert again.inversion == result.inversion
    assert not again.timing.step_seconds


@asynchronous
async def test_stits_inversion_is_another_kept_to_the_bit(store: Store, bundle: Bundle) -> None:
    alignment = put_alignment(store, bundle)
    async with serving(store, bundle) as stub:
        *_, own = await call(stub, request(alignment, max_passes=1))
        *_, stit = await call(stub, request(alignment, max_passes=1, algorithm=ALGORITHM_STIT))
    assert stit.inversion.uri != own.inversion.uri
    part = Inversion.open(store, stit.inversion).artifact.read_part("generator-0.safetensors")
    assert {weight.dtype for weight in safetensors.torch.load(part).values()} == {torch.float32}


@asynchronous
async def test_a_call_that_was_given_up_goes_on_when_repeated(
    store: Store, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    message = request(put_alignment(store, bundle), max_passes=10)
    async with serving(store, bundle) as stub:
        async with aclosing(call_stage(stub.Invert, message, "inverter:1", retry=AT_ONCE)) as events:
            async for event in events:
                if event.step == "pti" and event.done > 30:
                    break
        patient = call_stage(stub.Invert, message, "inverter:1")  # the thread stops within one step
        *progress, result = [event async for event in patient]
    first = next(event for event in progress if event.step == "pti" and event.done)
    assert first.done >= 20  # not from the start
    assert result.passes == 10


@asynchronous
@pytest.mark.parametrize("method", [INVERSION_METHOD_HYPERSTYLE, INVERSION_METHOD_ENCODER])
async def test_inverts_without_passes_over_all_crops(store: Store, bundle: Bundle, method: InversionMethod) -> None:
    alignment = put_alignment(store, bundle)
    async with serving(store, bundle) as stub:
        *progress, result = await call(stub, request(alignment, method=method))
        *_, other = await call(stub, request(alignment, method=method, max_passes=2, target_psnr_db=20.0))
    assert isinstance(result, InvertResult)
    assert result.passes == 0
    assert "pti" not in result.timing.step_seconds
    assert {message.step for message in progress} >= {"encode"}
    if method == INVERSION_METHOD_HYPERSTYLE:
        assert result.psnr_db > result.pivot_psnr_db
    else:
        assert result.psnr_db == result.pivot_psnr_db
    assert other.inversion == result.inversion  # what it does not depend on


@asynchronous
async def test_searches_for_the_codes_and_tunes_with_locality(store: Store, bundle: Bundle) -> None:
    alignment = put_alignment(store, bundle)
    asked = {"pivots": PIVOT_METHOD_OPTIMIZED, "max_passes": 1}
    async with serving(store, bundle) as stub:
        *progress, result = await call(stub, request(alignment, locality=True, **asked))
        *_, free = await call(stub, request(alignment, **asked))
    search = [message for message in progress if message.step == "search"]
    assert search[-1].done == search[-1].total > 0
    assert result.passes == free.passes == 1
    assert result.inversion != free.inversion
    _, codes = Inversion.open(store, result.inversion).pivots(0)
    assert (codes == codes[:, :1]).all()


@asynchronous
async def test_puts_an_inversion_into_a_style_that_is_learned_once(store: Store, bundle: Bundle) -> None:
    alignment = put_alignment(store, bundle)
    weaker = TextStyle(neutral="face", target="old face", strength=0.5)
    async with serving(store, bundle) as stub:
        *_, inverted = await call(stub, request(alignment, method=INVERSION_METHOD_ENCODER))
        *progress, result = await restyled(stub, styled(inverted.inversion, max_steps=3, layers=2))
        *_, again = await restyled(stub, styled(inverted.inversion, max_steps=3, layers=2))
        *_, half = await restyled(stub, styled(inverted.inversion, weaker, max_steps=3, layers=2))
    assert (result.steps, again.inversion, half.style) == (3, result.inversion, result.style)
    assert half.inversion != result.inversion
    learning = [message for message in progress if message.step == "learn"]
    assert learning[0].stage == "restyle"
    assert (learning[-1].done, learning[-1].total) == (3, 3)
    assert not again.timing.step_seconds
    assert half.timing.step_seconds.keys() == {"apply"}
    plain, style = (Inversion.open(store, ref) for ref in (inverted.inversion, result.inversion))
    assert (plain.pivots(0)[1] == style.pivots(0)[1]).all()
    own, new = (one.tune(bundle.generator(), 0).synthesis for one in (plain, style))
    drawn = [network(style.pivots(0)[1][:2]) for network in (own, new)]
    assert (drawn[0] - drawn[1]).abs().mean() > 1e-3
    assert 0 < result.loss < 2


@asynchronous
async def test_a_style_that_was_given_up_goes_on_when_repeated(
    store: Store, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("seamline.job.MIN_PROGRESS_INTERVAL", 0.0)
    alignment = put_alignment(store, bundle)
    async with serving(store, bundle) as stub:
        *_, inverted = await call(stub, request(alignment, method=INVERSION_METHOD_ENCODER))
        message = styled(inverted.inversion, max_steps=10)
        async with aclosing(call_stage(stub.Restyle, message, "inverter:1", retry=AT_ONCE)) as events:
            async for event in events:
                if event.step == "learn" and event.done > 3:
                    break
        patient = call_stage(stub.Restyle, message, "inverter:1")  # the thread stops within one step
        *progress, result = [event async for event in patient]
    first = next(event for event in progress if event.step == "learn" and event.done)
    assert first.done >= 3  # not from the start
    assert result.steps == 10


@asynchronous
async def test_says_what_is_wrong_with_a_style(store: Store, bundle: Bundle, tmp_path: Path) -> None:
    alignment = put_alignment(store, bundle)
    lesser = bundle_without("clip", tmp_path / "bundles")
    async with serving(store, bundle) as stub:
        *_, inverted = await call(stub, request(alignment, method=INVERSION_METHOD_ENCODER))
        with pytest.raises(InvalidInput, match="never met 'mohawk'") as caught:
            await restyled(stub, styled(inverted.inversion, TextStyle(neutral="face", target="mohawk")))
        assert caught.value.field == "style.target"
        with pytest.raises(InvalidInput, match="max_steps") as caught:
            await restyled(stub, styled(inverted.inversion, max_steps=0))
        assert caught.value.field == "options.max_steps"
        with pytest.raises(InvalidInput, match="names no inversion"):
            await restyled(stub, styled(ArtifactRef()))
        with pytest.raises(InvalidInput, match="artifact of stage 'align'"):
            await restyled(stub, styled(alignment))
    async with serving(store, lesser) as stub:
        with pytest.raises(Precondition, match="has no CLIP"):
            await restyled(stub, styled(inverted.inversion))


@asynchronous
async def test_says_that_a_bundle_has_no_hypernetwork(store: Store, tmp_path: Path) -> None:
    bundle = bundle_without("hyperstyle", tmp_path / "bundles")
    message = request(put_alignment(store, bundle), method=INVERSION_METHOD_HYPERSTYLE)
    async with serving(store, bundle) as stub:
        with pytest.raises(Precondition, match=r"tiny-64 has no hypernetwork.*ask for pti"):
            await call(stub, message)


@asynchronous
async def test_says_what_is_wrong_with_a_request(store: Store, bundle: Bundle) -> None:
    alignment = put_alignment(store, bundle)
    async with serving(store, bundle) as stub:
        with pytest.raises(InvalidInput, match="learning_rate") as caught:
            await call(stub, request(alignment, learning_rate=-1.0))
        assert caught.value.field == "options.learning_rate"
        with pytest.raises(NotFound, match="tiny-64"):
            await call(stub, InvertRequest(alignment=alignment, bundle="nobody"))
        with pytest.raises(DigestMismatch):
            await call(stub, request(ArtifactRef(uri=alignment.uri, sha256="0" * 64)))
        with pytest.raises(InvalidInput, match="names no alignment"):
            await call(stub, InvertRequest(bundle=NAME))
