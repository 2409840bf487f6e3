import pytest
import torch

from seamline.bundles import load_bundle
from seamline.errors import InvalidInput
from seamline.networks.clip import Clip, ClipConfig, as_bytes, token_ids
from tests.fakes.bundle import tiny_bundle
from tests.fakes.tokenizer import few_words, sizes

TEXTS = ["a smiling face", "an old person with glasses"]


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    clip = Clip(ClipConfig(**sizes())).eval()
    clip.tokenizer.copy_(as_bytes(few_words()))
    return clip


def test_pictures_of_any_size_and_texts_share_a_space(clip):
    with torch.inference_mode():
        found = [clip.encode_images(torch.rand(2, 3, size, size) * 2 - 1) for size in (32, 50)]
        found.append(clip.encode_texts(TEXTS))
    for vectors in found:
        assert vectors.shape == (2, 8)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_a_text_means_the_same_in_any_company(clip):
    with torch.inference_mode():
        together, alone = clip.encode_texts(TEXTS), torch.cat([clip.encode_texts([text]) for text in TEXTS])
        torch.testing.assert_close(together, alone)
        assert (together[0] - together[1]).norm() > 1e-3
        torch.testing.assert_close(clip.encode_texts(["A  smiling FACE"]), together[:1])


def test_a_bundle_carries_the_tokenizer(tmp_path):
    written = tiny_bundle(tmp_path)
    shared = load_bundle(written.name, tmp_path).module("clip")
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(written.infer("clip", images), shared.encode_images(images))
    torch.testing.assert_close(written.module("clip").encode_texts(TEXTS), shared.encode_texts(TEXTS))
    assert bytes(shared.tokenizer.numpy()) == few_words()


def test_unknown_words_are_read_and_named(clip):
    assert clip.encode_texts(["a Klingon face"]).isfinite().all()
    assert clip.unknown_words("a Klingon face of Qo") == ["Klingon", "Qo"]
    assert clip.unknown_words(TEXTS[1]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "has no word"), ("  ", "has no word"), ("face " * 23, "has 25 tokens, of 24 that are read; shorten it")],
)
def test_texts_that_cannot_be_read_are_refused(clip, text, message):
    with pytest.raises(InvalidInput, match=message) as refused:
        clip.encode_texts(["a face", text])
    assert refused.value.field == "text"


def test_the_longest_text_is_read(clip):
    assert int((token_ids(clip.reader(), ["face " * 22], clip.config) != clip.config.end_token).sum()) == 23


def test_without_a_tokenizer_only_pictures_are_read():
    clip = Clip(ClipConfig(**sizes() | {"tokenizer_bytes": 0})).eval()
    assert clip(torch.zeros(1, 3, 32, 32)).shape == (1, 8)
    with pytest.raises(InvalidInput, match=r"tokenizer\.json cannot be read"):
        clip.encode_texts(["a face"])


def test_gradients_reach_the_pictures(clip):
    images = (torch.rand(1, 3, 64, 64) * 2 - 1).requires_grad_()
    (clip.encode_images(images) * clip.encode_texts(TEXTS[:1])).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_default_sizes_are_the_public_ones():
    with torch.device("meta"):
        model = Clip(ClipConfig()).model
    assert sum(parameter.numel() for parameter in model.parameters()) == 151_277_313


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": 100}, "image_size must be a multiple of patch_size 32"),
        ({"vision_width": 770}, "vision_width must be a multiple of vision_heads 12"),
        ({"text_width": 510}, "text_width must be a multiple of text_heads 8"),
    ],
)
def test_impossible_sizes_are_refused(config, message):
    with pytest.raises(InvalidInput, match=message) as refused:
        ClipConfig(**config)
    assert refused.value.field == next(iter(config))
