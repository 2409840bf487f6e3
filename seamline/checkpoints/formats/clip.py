"""CLIP (Radford et al. 2021): OpenAI's `ViT-B-32.pt`, and what `transformers` writes for the same network."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

from seamline.bundles.manifest import ConfigValue
from seamline.checkpoints.formats import clip_tokenizer, openai_clip
from seamline.checkpoints.formats.clip_files import ClipFiles
from seamline.checkpoints.formats.format import Format
from seamline.checkpoints.formats.inferred import fitting_shapes, shape_of
from seamline.checkpoints.formats.pinned import REMEDY, checked, table
from seamline.checkpoints.network_file import Converted
from seamline.checkpoints.reading import read_checkpoint
from seamline.checkpoints.stand_ins import StandIn, state_dict_of
from seamline.errors import InvalidInput, Precondition
from seamline.networks.clip import ClipConfig, as_bytes, read_tokenizer

LICENCE: Final = "MIT (openai/CLIP)"
HEAD_WIDTH: Final = 64
"""Of all public networks."""
MODEL: Final = "model."


def _convert(paths: Sequence[Path]) -> Converted:
    try:
        return _converted(ClipFiles.of(paths))
    except ImportError as error:
        raise Precondition(f"CLIP needs the package {error.name}: pip install 'seamline[text]'") from error


def _converted(files: ClipFiles) -> Converted:
    path = files.weights
    found = read_checkpoint(path)
    state = table(path, state_dict_of(found) if isinstance(found, StandIn) else found, "the file")
    openai = openai_clip.MARK in state
    sizes = openai_clip.sizes(path, state) if openai else _sizes(path, state)
    heads = _heads(files) if files.config else {part: sizes[f"{part}_width"] // HEAD_WIDTH for part in _TOWERS}
    tokenizer = _tokenizer(files, sizes["vocabulary"])
    config = _config(path, sizes, heads, tokenizer)
    shapes = fitting_shapes(path, "clip", config)
    own = {name.removeprefix(MODEL): shape for name, shape in shapes.items() if name.startswith(MODEL)}
    if openai:
        tensors = openai_clip.renamed(checked(path, state, openai_clip.pinned(own), openai_clip.is_passing), own)
    else:
        tensors = checked(path, state, own, ignored=lambda key: key.endswith(".embeddings.position_ids"))
    return Converted(
        kind="clip",
        config=config,
        tensors={"tokenizer": as_bytes(tokenizer)} | {MODEL + name: tensor for name, tensor in tensors.items()},
        licence=LICENCE,
        source=path.name,
    )


_TOWERS: Final = {"vision": 12, "text": 8}
"""Heads of the public network's attentions, which its config may leave out."""


def _sizes(path: Path, state: Mapping[str, Any]) -> dict[str, int]:
    """Sizes in `transformers`' names."""
    vision, text = "vision_model.embeddings.", "text_model.embeddings."
    vision_width, _, _, patch = shape_of(path, state, f"{vision}patch_embedding.weight", 4)
    vocabulary, text_width = shape_of(path, state, f"{text}token_embedding.weight", 2)
    return {
        "image_size": patch * openai_clip.grid(shape_of(path, state, f"{vision}position_embedding.weight", 2)),
        "patch_size": patch,
        "vision_width": vision_width,
        "vision_layers": openai_clip.count(state, "vision_model.encoder.layers."),
        "text_width": text_width,
        "text_layers": openai_clip.count(state, "text_model.encoder.layers."),
        "text_tokens": shape_of(path, state, f"{text}position_embedding.weight", 2)[0],
        "vocabulary": vocabulary,
        "embedding": shape_of(path, state, "text_projection.weight", 2)[0],
    }


def _heads(files: ClipFiles) -> dict[str, int]:
    """Heads of both towers from config.json, which must be of the public kind of network."""
    path, heads = cast(Path, files.config), {}
    for part, usual in _TOWERS.items():
        tower = table(path, table(path, clip_tokenizer.read_json(path), "it").get(f"{part}_config"), f"{part}_config")
        heads[part] = tower.get("num_attention_heads", usual)
        act, epsilon = tower.get("hidden_act", "quick_gelu"), tower.get("layer_norm_eps", 1e-5)
        if act != "quick_gelu" or epsilon != 1e-5:
            raise InvalidInput(
                f"{path}: {part} has hidden_act {act!r} and layer_norm_eps {epsilon}; the public CLIP's, quick_gelu "
                f"and 1e-5, are needed",
                path=path,
            )
        if type(heads[part]) is not int or heads[part] < 1:
            raise InvalidInput(f"{path}: {part} has no number of heads; {REMEDY}", path=path)
    return heads


def _tokenizer(files: ClipFiles, size: int) -> bytes:
    """The tokenizer's JSON: the given one, or made of the byte pairs."""
    if files.tokenizer is not None:
        return files.tokenizer.read_bytes()
    if files.pairs is None:
        raise InvalidInput(
            f"{files.weights}: comes without a tokenizer; give bpe_simple_vocab_16e6.txt.gz (of openai/CLIP), or "
            "tokenizer.json, or vocab.json and merges.txt beside it",
            path=files.weights,
        )
    pairs = clip_tokenizer.read_pairs(files.pairs)
    if files.vocabulary is None:
        vocabulary, pairs = clip_tokenizer.vocabulary_of(files.pairs, pairs, size)
    else:
        found = clip_tokenizer.read_json(files.vocabulary)
        vocabulary = clip_tokenizer.read_vocabulary(files.vocabulary, found)
    return clip_tokenizer.tokenizer_json(files.pairs, vocabulary, pairs)


def _config(path: Path, sizes: Mapping[str, int], heads: Mapping[str, int], tokenizer: bytes) -> dict[str, ConfigValue]:
    reader = read_tokenizer(tokenizer)
    end, known = reader.token_to_id(clip_tokenizer.END), reader.get_vocab_size()
    if end is None or known > sizes["vocabulary"]:
        raise InvalidInput(
            f"{path}: the tokenizer has {known} tokens, among them {'an' if end else 'no'} {clip_tokenizer.END}; the "
            f"network knows {sizes['vocabulary']}: give the tokenizer that belongs to it",
            path=path,
        )
    try:
        config = ClipConfig(
            **sizes,
            vision_heads=heads["vision"],
            text_heads=heads["text"],
            end_token=end,
            tokenizer_bytes=len(tokenizer),
        )
    except (InvalidInput, ArithmeticError) as error:
        raise InvalidInput(f"{path}: no CLIP has its sizes ({error}); {REMEDY}", path=path) from error
    return asdict(config)


FORMAT: Final = Format(
    name="clip",
    inputs=(
        "ViT-B-32.pt of OpenAI, or model.safetensors or pytorch_model.bin of transformers, or the latter's folder",
        "bpe_simple_vocab_16e6.txt.gz, or tokenizer.json, or vocab.json and merges.txt; of transformers, config.json",
    ),
    optional_inputs=1,
    repeated=True,
    description="CLIP ViT-B/32 with its tokenizer, for edits from texts",
    licence=LICENCE,
    convert=_convert,
)
