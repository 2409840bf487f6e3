"""The names and layouts of OpenAI's own CLIP checkpoints, and ours, which are those of `transformers`."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from seamline.checkpoints.formats.inferred import shape_of

MARK: Final = "visual.proj"
"""A key that only OpenAI's vision transformers have."""
_FACTS: Final = ("input_resolution", "context_length", "vocab_size")
_WHOLE: Final = {
    "logit_scale": "logit_scale",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
_TRANSPOSED: Final = {MARK: "visual_projection.weight", "text_projection": "text_projection.weight"}
_TOWERS: Final = {"visual.transformer.resblocks.": "vision_model.encoder.layers."} | {
    "transformer.resblocks.": "text_model.encoder.layers."
}
_PARTS: Final = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_QUERY, _KEY, _VALUE = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


def sizes(path: Path, state: Mapping[str, Any]) -> dict[str, int]:
    """Sizes, told from shapes."""
    vision_width, _, _, patch = shape_of(path, state, "visual.conv1.weight", 4)
    vocabulary, text_width = shape_of(path, state, "token_embedding.weight", 2)
    vision, text = _TOWERS
    return {
        "image_size": patch * grid(shape_of(path, state, "visual.positional_embedding", 2)),
        "patch_size": patch,
        "vision_width": vision_width,
        "vision_layers": count(state, vision),
        "text_width": text_width,
        "text_layers": count(state, text),
        "text_tokens": shape_of(path, state, "positional_embedding", 2)[0],
        "vocabulary": vocabulary,
        "embedding": shape_of(path, state, "text_projection", 2)[1],
    }


def grid(positions: torch.Size) -> int:
    """Patches along a side, of the shape of a position embedding, which has one more for the class."""
    return isqrt(positions[0] - 1)


def count(state: Mapping[str, Any], prefix: str) -> int:
    """Different numbers that follow a prefix."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})


def is_passing(key: str) -> bool:
    """Whether a key is no weight: sizes, and the mask of the attention."""
    return key in _FACTS or key.endswith(".attn_mask")


def pinned(own: Mapping[str, torch.Size]) -> dict[str, torch.Size]:
    """OpenAI's keys and shapes of the network that has our names `own`."""
    shapes = {key: own[name] for key, name in _WHOLE.items()}
    shapes |= {key: torch.Size(reversed(own[name])) for key, name in _TRANSPOSED.items()}
    for key, name in _blocks(own):
        for kind in ("weight", "bias"):
            for part, ours in _PARTS.items():
                shapes[f"{key}{part}.{kind}"] = own[f"{name}{ours}.{kind}"]
            rows, *columns = own[f"{name}{_QUERY}.{kind}"]
            shapes[f"{key}attn.in_proj_{kind}"] = torch.Size((3 * rows, *columns))
    return shapes


def renamed(found: Mapping[str, Tensor], own: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Tensors that fit `pinned(own)`, in our names."""
    tensors = {name: found[key] for key, name in _WHOLE.items()}
    tensors |= {name: found[key].T for key, name in _TRANSPOSED.items()}
    for key, name in _blocks(own):
        for kind in ("weight", "bias"):
            for part, ours in _PARTS.items():
                tensors[f"{name}{ours}.{kind}"] = found[f"{key}{part}.{kind}"]
            thirds = found[f"{key}attn.in_proj_{kind}"].chunk(3)
            for ours, third in zip((_QUERY, _KEY, _VALUE), thirds, strict=True):
                tensors[f"{name}{ours}.{kind}"] = third
    return tensors


def _blocks(own: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Prefixes of every block: OpenAI's and ours."""
    return [
        (f"{key}{number}.", f"{name}{number}.") for key, name in _TOWERS.items() for number in range(count(own, name))
    ]
