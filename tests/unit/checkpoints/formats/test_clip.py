"""OpenAI's archive and transformers' files of a CLIP give what OpenAI's code computes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seamline.checkpoints.formats import FORMATS
from seamline.checkpoints.network_file import load_network, write_converted
from seamline.errors import InvalidInput, NotFound
from seamline.networks.clip import Clip, normalised
from tests.unit.checkpoints.formats import clips

TOLERANCE = 1e-4
TEXTS = ["A  Smiling\n FACE!", "old faces; it's 42"]
TOKENS = [
    ["a</w>", "smil", "ing</w>", "face</w>", "!</w>"],
    ["old</w>", "fac", "e", "s</w>", ";</w>", "i", "t</w>", "'", "s</w>", "4</w>", "2</w>"],
]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return clips.openai_state()


@pytest.fixture(scope="module")
def files(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with OpenAI's two files."""
    folder = tmp_path_factory.mktemp("openai")
    clips.write_archive(folder / "ViT-B-32.pt", state)
    clips.write_pairs(folder / "pairs.txt.gz")
    return folder


@pytest.fixture(scope="module")
def openai(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return converted(tmp_path_factory.mktemp("out"), files / "ViT-B-32.pt", files / "pairs.txt.gz")


@pytest.fixture(scope="module")
def checkpoint(openai: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network as transformers stores it, with a vocabulary and merges."""
    folder = tmp_path_factory.mktemp("transformers")
    openai.model.save_pretrained(folder)
    tokens = json.loads(bytes(openai.tokenizer.numpy()))["model"]["vocab"]
    (folder / "vocab.json").write_text(json.dumps(tokens))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *clips.MERGES, ""]))
    return folder


def converted(out: Path, *paths: Path) -> Clip:
    write_converted(out / "clip.safetensors", FORMATS["clip"](paths))
    loaded = load_network(out / "clip.safetensors")
    assert isinstance(loaded, Clip)
    return loaded


def pictures() -> Tensor:
    side = clips.GRID * clips.PATCH
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def ids(clip: Clip) -> Tensor:
    """The texts as OpenAI numbers them: 0 after the end."""
    number = clip.reader().token_to_id
    rows = torch.zeros(len(TOKENS), clips.TOKENS, dtype=torch.long)
    for row, tokens in zip(rows, TOKENS, strict=True):
        named = ["<|startoftext|>", *tokens, "<|endoftext|>"]
        row[: len(named)] = torch.tensor([number(token) for token in named])
    return rows


def test_texts_are_read_in_lower_case_words_and_pairs(openai: Clip) -> None:
    for text, tokens in zip(TEXTS, TOKENS, strict=True):
        assert openai.reader().encode(text).tokens == ["<|startoftext|>", *tokens, "<|endoftext|>"]
    assert openai.reader().encode("é").tokens[1:-1] == ["Ã", "©</w>"]
    assert openai.config.end_token == clips.VOCABULARY - 1
    assert openai.unknown_words("a Klingon face") == []


@torch.inference_mode()
def test_openais_archive_gives_what_openais_code_computes(openai: Clip, state: dict[str, Tensor]) -> None:
    expected = clips.openai_images(state, normalised(pictures(), openai.config.image_size))
    torch.testing.assert_close(openai.encode_images(pictures()), expected, rtol=0, atol=TOLERANCE)
    expected = clips.openai_texts(state, ids(openai))
    torch.testing.assert_close(openai.encode_texts(TEXTS), expected, rtol=0, atol=TOLERANCE)


def test_sizes_are_told_from_shapes(openai: Clip) -> None:
    config = openai.config
    assert (config.image_size, config.patch_size) == (clips.GRID * clips.PATCH, clips.PATCH)
    assert (config.vision_width, config.vision_heads, config.vision_layers) == (clips.VISION, 2, 2)
    assert (config.text_width, config.text_heads, config.text_layers) == (clips.TEXT, 1, 2)
    assert (config.text_tokens, config.vocabulary, config.embedding) == (clips.TOKENS, clips.VOCABULARY, 16)


def test_a_plain_state_dict_is_the_same_network(
    openai: Clip, files: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "state.pt")
    loaded = converted(tmp_path, files / "pairs.txt.gz", tmp_path / "state.pt")
    assert loaded.config == openai.config
    for name, tensor in openai.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("layout", ["folder", "files", "pytorch_model.bin"])
@torch.inference_mode()
def test_transformers_files_give_the_same_embeddings(
    openai: Clip, checkpoint: Path, tmp_path: Path, layout: str
) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(checkpoint, folder)
    given = [folder]
    if layout == "files":
        given = [folder / name for name in ("merges.txt", "config.json", "vocab.json", "model.safetensors")]
    if layout == "pytorch_model.bin":
        old = openai.model.state_dict() | {"text_model.embeddings.position_ids": torch.arange(clips.TOKENS)[None]}
        torch.save(old, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        (folder / "tokenizer.json").write_bytes(bytes(openai.tokenizer.numpy()))
        (folder / "merges.txt").unlink()
    loaded = converted(tmp_path, *given)
    torch.testing.assert_close(loaded.encode_images(pictures()), openai.encode_images(pictures()), rtol=0, atol=1e-6)
    torch.testing.assert_close(loaded.encode_texts(TEXTS), openai.encode_texts(TEXTS), rtol=0, atol=1e-6)


Change = Callable[[Any], Any]
KEY = "visual.transformer.resblocks.1."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.pop(f"{KEY}ln_1.bias"), r"1\.ln_1\.bias is missing"),
        (lambda found: found.pop("visual.conv1.weight"), r"visual\.conv1\.weight is missing"),
        (lambda found: found.pop("visual.proj"), r"vision_model\.embeddings\.patch_embedding\.weight is missing"),
        (lambda found: found.update({f"{KEY}extra": torch.ones(1)}), "extra is unknown"),
        (lambda found: found.update({f"{KEY}attn.in_proj_weight": torch.ones(1)}), "in_proj_weight has shape"),
        (lambda found: found.update({"ln_final.bias": torch.full((clips.TEXT,), torch.nan)}), "holds NaN"),
        (lambda found: found.update({"visual.positional_embedding": torch.ones(9, clips.VISION)}), "wanted"),
        (lambda found: found.update({"token_embedding.weight": torch.ones(513, clips.TEXT)}), "byte pairs"),
        (lambda found: found.update({"visual.conv1.weight": torch.ones(clips.VISION, 3, 8)}), "wanted 4 dimensions"),
    ],
)
def test_other_weights_are_refused(
    state: dict[str, Tensor], files: Path, tmp_path: Path, change: Change, message: str
) -> None:
    found = dict(state)
    change(found)
    torch.save(found, tmp_path / "clip.pt")
    with pytest.raises(InvalidInput, match=message):
        converted(tmp_path, tmp_path / "clip.pt", files / "pairs.txt.gz")
    assert not (tmp_path / "clip.safetensors").exists()


def test_what_is_missing_or_too_much_is_named(files: Path, checkpoint: Path, tmp_path: Path) -> None:
    archive, pairs = files / "ViT-B-32.pt", files / "pairs.txt.gz"
    with pytest.raises(InvalidInput, match=r"without a tokenizer; give bpe_simple_vocab_16e6\.txt\.gz"):
        converted(tmp_path, archive)
    with pytest.raises(InvalidInput, match="no weights among them"):
        converted(tmp_path, pairs)
    with pytest.raises(InvalidInput, match="is another weights beside ViT-B-32"):
        converted(tmp_path, archive, checkpoint / "model.safetensors")
    with pytest.raises(NotFound, match="no such file"):
        converted(tmp_path, tmp_path / "absent.pt", pairs)
    with pytest.raises(NotFound, match=r"has no config\.json"):
        converted(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.txt.gz", b"\x1f\x8b broken", r"pairs\.txt\.gz: no list of byte pairs"),
        ("pairs.txt", b"header\na b\nc\n", "two to a line"),
        ("pairs.txt", b"\xff\xfe", "no list of byte pairs"),
        ("pairs.txt", b"header\n" + b"zz y\n" * 10, "do not fit the vocabulary"),
        ("tokenizer.json", b"{", r"tokenizer\.json: is no JSON"),
        ("tokenizer.json", b'{"model": {}}', "cannot be read"),
        ("vocab.json", b'{"a": "b"}', "without a tokenizer"),
    ],
)
def test_broken_tokenizers_are_refused(files: Path, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        converted(tmp_path, files / "ViT-B-32.pt", tmp_path / name)


def test_a_vocabulary_must_number_tokens(files: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": "b"}')
    with pytest.raises(InvalidInput, match="does not number tokens"):
        converted(tmp_path, files / "ViT-B-32.pt", tmp_path / "vocab.json", files / "pairs.txt.gz")


def test_a_tokenizer_of_another_network_is_refused(files: Path, tmp_path: Path, openai: Clip) -> None:
    tokenizer = json.loads(bytes(openai.tokenizer.numpy()))
    tokenizer["model"]["vocab"]["more"] = clips.VOCABULARY
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InvalidInput, match=f"has {clips.VOCABULARY + 1} tokens.* knows {clips.VOCABULARY}"):
        converted(tmp_path, files / "ViT-B-32.pt", tmp_path / "tokenizer.json")


def test_a_bomb_is_not_unpacked(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seamline.checkpoints.formats.clip_tokenizer.MOST_BYTES", 64)
    with pytest.raises(InvalidInput, match="unpacks to more than 64 bytes"):
        converted(tmp_path, files / "ViT-B-32.pt", files / "pairs.txt.gz")


@pytest.mark.parametrize(
    ("tower", "field", "value", "message"),
    [
        ("text_config", "hidden_act", "gelu", "text has hidden_act 'gelu'"),
        ("vision_config", "layer_norm_eps", 1e-6, "layer_norm_eps 1e-06"),
        ("vision_config", "num_attention_heads", 3, "vision_width must be a multiple of vision_heads 3"),
        ("vision_config", "num_attention_heads", 0, "no number of heads"),
    ],
)
def test_other_kinds_of_clip_are_refused(
    checkpoint: Path, tmp_path: Path, tower: str, field: str, value: Any, message: str
) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    config[tower][field] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    others = [checkpoint / name for name in ("model.safetensors", "vocab.json", "merges.txt")]
    with pytest.raises(InvalidInput, match=message):
        converted(tmp_path, tmp_path / "config.json", *others)
