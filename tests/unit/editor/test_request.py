import pytest
from seamline_editor.request import check_edit, check_preview

from seamline.bundles import load_bundle
from seamline.errors import InvalidInput, Precondition, UnknownEdit
from seamline.v1.editor_pb2 import EditVideoRequest, PreviewVideoRequest
from seamline.v1.inverter_pb2 import INVERSION_METHOD_HYPERSTYLE, InvertOptions
from seamline.v1.media_pb2 import EDIT_METHOD_LATENT_TRANSFORMER, ArtifactRef, Edit, Keyframe, TextEdit, Variant
from seamline.v1.stitcher_pb2 import StitchOptions
from tests.fakes.bundle import tiny_bundle
from tests.fakes.relevance import with_relevance

VIDEO = ArtifactRef(uri="file:///store/video.mp4", sha256="0" * 64)
GLASSES = Edit(text=TextEdit(neutral="face", target="face with glasses"), strength=4)
TRANSFORMED = Edit(name="smile", strength=1, method=EDIT_METHOD_LATENT_TRANSFORMER)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return with_relevance(tiny_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture
def plain(bundle, tmp_path):
    """A bundle without the optional networks."""
    text = (bundle.directory / "bundle.toml").read_text()
    for table in ("networks.hyperstyle", "networks.latent_transformer", "networks.clip", "relevance"):
        text = text.replace(f"[{table}", f"[optional.{table}")
    (tmp_path / "plain").mkdir()
    for file in bundle.directory.glob("*.safetensors"):
        (tmp_path / "plain" / file.name).symlink_to(file)
    (tmp_path / "plain" / "bundle.toml").write_text(text)
    return load_bundle("plain", tmp_path)


def _edits(*edits):
    return [Edit(name=name, strength=strength) for name, strength in edits]


def _request(*edits, **options):
    return EditVideoRequest(video=VIDEO, edits=_edits(*edits), **options)


def test_accepts_what_the_bundle_can_do(bundle):
    check_edit(_request(("smile", 3.0), ("age", -2.0)), bundle)
    check_edit(EditVideoRequest(video=VIDEO, edits=[TRANSFORMED, GLASSES]), bundle)
    check_edit(_request(("smile", 1.0), invert=InvertOptions(method=INVERSION_METHOD_HYPERSTYLE)), bundle)


NAN = float("nan")
TWO_KEYS = [Keyframe(seconds=1, strength=1), Keyframe(seconds=1, strength=2)]


@pytest.mark.parametrize(
    ("request_", "error", "field", "text"),
    [
        (_request(), InvalidInput, "edits", "age, smile"),
        (_request(("age", 1.0), ("smile", 1.0), ("age", 1.0)), InvalidInput, "edits[2].name", "twice"),
        (_request(("age", 1.0), ("wings", 1.0)), UnknownEdit, "edits[1].name", "age, smile"),
        (_request(("smile", 1000.0)), UnknownEdit, "edits[0].strength", "-3 to 3"),
        (_request(("smile", float("nan"))), UnknownEdit, "edits[0].strength", "-3 to 3"),
        (
            EditVideoRequest(video=VIDEO, edits=[Edit(name="smile", keyframes=TWO_KEYS)]),
            InvalidInput,
            "edits[0].keyframes[1].seconds",
            "later",
        ),
        (
            EditVideoRequest(video=VIDEO, edits=[Edit(text=TextEdit(neutral="face", target="face"), strength=1)]),
            InvalidInput,
            "edits[0].text.target",
            "face",
        ),
        (_request(("smile", 1.0), stitch=StitchOptions(blend=77)), InvalidInput, "stitch.blend", "77"),
        (_request(*[("smile", 1.0)] * 33), InvalidInput, "edits", "33 edits, of 32 at most"),
        (_request(("smile", 1.0), stitch=StitchOptions(max_steps=100_001)), InvalidInput, "stitch.max_steps", "100001"),
        (_request(("smile", 1.0), invert=InvertOptions(max_passes=2**31)), InvalidInput, "invert.max_passes", "to 1"),
        (_request(("smile", 1.0), invert=InvertOptions(max_passes=0)), InvalidInput, "invert.max_passes", "from 1"),
        (
            _request(("smile", 1.0), invert=InvertOptions(learning_rate=NAN)),
            InvalidInput,
            "invert.learning_rate",
            "nan",
        ),
        (_request(("smile", 1.0), invert=InvertOptions(pass_factor=1e9)), InvalidInput, "invert.pass_factor", "to 100"),
        (_request(("smile", 1.0), invert=InvertOptions(method=77)), InvalidInput, "invert.method", "77"),
        (_request(("smile", 1.0), invert=InvertOptions(pivots=77)), InvalidInput, "invert.pivots", "77"),
        (_request(("smile", 1.0), stitch=StitchOptions(algorithm=77)), InvalidInput, "stitch.algorithm", "77"),
        (_request(("smile", 1.0), invert=InvertOptions(algorithm=77)), InvalidInput, "invert.algorithm", "77"),
    ],
)
def test_refuses_and_says_what_to_do(bundle, request_, error, field, text):
    with pytest.raises(error, match=text) as raised:
        check_edit(request_, bundle)
    assert raised.value.field == field


def test_refuses_what_the_bundle_has_no_network_for(plain):
    with pytest.raises(Precondition, match="no hypernetwork") as raised:
        check_edit(_request(("smile", 1.0), invert=InvertOptions(method=INVERSION_METHOD_HYPERSTYLE)), plain)
    assert raised.value.field == "invert.method"
    with pytest.raises((Precondition, UnknownEdit)) as transformer:
        check_edit(EditVideoRequest(video=VIDEO, edits=[TRANSFORMED]), plain)
    assert transformer.value.field == "edits[0].method"
    with pytest.raises(Precondition, match="not prepared for text edits"):
        check_edit(EditVideoRequest(video=VIDEO, edits=[GLASSES]), plain)


class TestPreview:
    def _request(self, *variants, **options):
        shown = [Variant(edits=_edits(*edits)) for edits in variants]
        return PreviewVideoRequest(video=VIDEO, variants=shown, **options)

    def test_accepts_what_an_edit_may_ask(self, bundle):
        check_preview(self._request([("smile", 1.0)], [("smile", 2.0), ("age", 1.0)], frame_count=128), bundle)

    def test_names_the_variant_that_is_wrong(self, bundle):
        with pytest.raises(UnknownEdit) as raised:
            check_preview(self._request([("smile", 1.0)], [("age", 1.0), ("wings", 1.0)]), bundle)
        assert raised.value.field == "variants[1].edits[1].name"

    def test_refuses_no_variants(self, bundle):
        with pytest.raises(InvalidInput, match="no variant"):
            check_preview(self._request(), bundle)

    @pytest.mark.parametrize(("variants", "frames"), [(3, 86), (86, 0)])
    def test_refuses_more_pictures_than_fit(self, bundle, variants, frames):
        with pytest.raises(InvalidInput, match="more than 256 pictures"):
            check_preview(self._request(*[[("smile", 1.0)]] * variants, frame_count=frames), bundle)

    def test_refuses_more_texts_than_can_be_read_at_once(self, bundle):
        texts = [Edit(text=TextEdit(neutral="face", target="old face", beta=n / 100), strength=1) for n in range(33)]
        shown = [Variant(edits=texts[:20]), Variant(edits=texts[20:])]
        with pytest.raises(InvalidInput, match="33 different texts are asked for, of 32 at most") as refused:
            check_preview(PreviewVideoRequest(video=VIDEO, variants=shown), bundle)
        assert refused.value.field == "variants"
