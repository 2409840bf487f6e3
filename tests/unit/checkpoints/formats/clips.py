"""A small CLIP in OpenAI's layout, and what OpenAI's code computes with it."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VISION, TEXT, EMBEDDING, PATCH, GRID, TOKENS, LAYERS = 128, 64, 16, 8, 3, 24, 2
MERGES = ["f a", "fa c", "fac e</w>", "s m", "sm i", "smi l", "i n", "in g</w>", "o l", "ol d</w>"]
SPARE = 5
"""Pairs that the list has beyond those that the network knows."""
VOCABULARY = 512 + len(MERGES) + 2


def openai_state(seed: int = 0) -> dict[str, Tensor]:
    """Weights in float16, but for norms and embeddings, as OpenAI's `convert_weights` leaves them."""
    draws = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, scale: float = 0.1) -> Tensor:
        return torch.randn(shape, generator=draws) * scale

    state = {
        "positional_embedding": drawn(TOKENS, TEXT),
        "text_projection": drawn(TEXT, EMBEDDING).half(),
        "logit_scale": torch.tensor(4.6),
        "visual.class_embedding": drawn(VISION),
        "visual.positional_embedding": drawn(GRID**2 + 1, VISION),
        "visual.proj": drawn(VISION, EMBEDDING).half(),
        "visual.conv1.weight": drawn(VISION, 3, PATCH, PATCH).half(),
        "token_embedding.weight": drawn(VOCABULARY, TEXT),
    }
    for name, width in (("visual.ln_pre", VISION), ("visual.ln_post", VISION), ("ln_final", TEXT)):
        state |= {f"{name}.weight": 1 + drawn(width), f"{name}.bias": drawn(width)}
    for tower, width in (("visual.transformer", VISION), ("transformer", TEXT)):
        for block in (f"{tower}.resblocks.{number}" for number in range(LAYERS)):
            shapes = {"attn.in_proj_": (3 * width, width), "attn.out_proj.": (width, width)}
            shapes |= {"mlp.c_fc.": (4 * width, width), "mlp.c_proj.": (width, 4 * width)}
            for part, shape in shapes.items():
                state |= {f"{block}.{part}weight": drawn(*shape).half(), f"{block}.{part}bias": drawn(shape[0]).half()}
            for norm in ("ln_1", "ln_2"):
                state |= {f"{block}.{norm}.weight": 1 + drawn(width), f"{block}.{norm}.bias": drawn(width)}
    return state


class Part(nn.Module):
    """A module that has weights, and could be run."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def write_archive(path: Path, state: Mapping[str, Tensor]) -> None:
    """A TorchScript archive of modules with these weights, as `ViT-B-32.pt` is one."""
    root = Part()
    for name, size in (("input_resolution", GRID * PATCH), ("context_length", TOKENS), ("vocab_size", VOCABULARY)):
        root.register_buffer(name, torch.tensor(size))
    for key, tensor in state.items():
        *folders, name = key.split(".")
        module = root
        for place, folder in enumerate(folders):
            if not hasattr(module, folder):
                after = folders[place + 1] if place + 1 < len(folders) else ""
                module.add_module(folder, nn.Sequential() if after.isdigit() else Part())
            module = module.get_submodule(folder)
        module.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
    torch.jit.script(root).save(path)


def write_pairs(path: Path) -> None:
    """`bpe_simple_vocab_16e6.txt.gz`, with more pairs than are used."""
    lines = ['"a header', *MERGES, *(f"q{number} q" for number in range(SPARE)), ""]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def openai_images(state: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
    """Normalised pictures (B, 3, S, S) to (B, D) of unit length."""
    state = {key: tensor.float() for key, tensor in state.items()}
    x = F.conv2d(pixels, state["visual.conv1.weight"], stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat([state["visual.class_embedding"].expand(len(x), 1, -1), x], 1) + state["visual.positional_embedding"]
    x = _transformer(state, "visual.transformer", _norm(state, "visual.ln_pre", x), mask=None)
    return F.normalize(_norm(state, "visual.ln_post", x[:, 0]) @ state["visual.proj"], dim=1)


def openai_texts(state: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
    """Tokens (B, T), 0 after the last, to (B, D) of unit length."""
    state = {key: tensor.float() for key, tensor in state.items()}
    x = state["token_embedding.weight"][tokens] + state["positional_embedding"]
    mask = torch.full((TOKENS, TOKENS), -torch.inf).triu(1)
    x = _norm(state, "ln_final", _transformer(state, "transformer", x, mask))
    return F.normalize(x[torch.arange(len(x)), tokens.argmax(1)] @ state["text_projection"], dim=1)


def _norm(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def _transformer(state: Mapping[str, Tensor], name: str, x: Tensor, mask: Tensor | None) -> Tensor:
    for block in (f"{name}.resblocks.{number}" for number in range(LAYERS)):
        seen = F.linear(
            _norm(state, f"{block}.ln_1", x), state[f"{block}.attn.in_proj_weight"], state[f"{block}.attn.in_proj_bias"]
        )
        heads = [part.unflatten(-1, (-1, 64)).transpose(1, 2) for part in seen.chunk(3, -1)]
        joined = F.scaled_dot_product_attention(*heads, attn_mask=mask).transpose(1, 2).flatten(2)
        x = x + F.linear(joined, state[f"{block}.attn.out_proj.weight"], state[f"{block}.attn.out_proj.bias"])
        inner = F.linear(
            _norm(state, f"{block}.ln_2", x), state[f"{block}.mlp.c_fc.weight"], state[f"{block}.mlp.c_fc.bias"]
        )
        inner = inner * torch.sigmoid(1.702 * inner)
        x = x + F.linear(inner, state[f"{block}.mlp.c_proj.weight"], state[f"{block}.mlp.c_proj.bias"])
    return x
