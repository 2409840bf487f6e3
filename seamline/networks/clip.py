"""CLIP (Radford et al. 2021, arXiv:2103.00020): pictures and texts as unit vectors of one space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.errors import InvalidInput
from seamline.networks.shapes import expect_shape

if TYPE_CHECKING:  # both take seconds to import, and most programs never read a text
    from tokenizers import Tokenizer
    from transformers import CLIPModel

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Statistics of RGB in [0, 1] with which the public checkpoints were trained."""
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Sizes of a CLIP; the defaults are those of the public ViT-B/32."""

    image_size: int = 224
    """Side in pixels to which pictures are resized, a multiple of the patches'."""
    patch_size: int = 32
    """Side in pixels of the patches that are the picture's tokens."""
    vision_width: int = 768
    vision_layers: int = 12
    vision_heads: int = 12
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    text_tokens: int = 77
    """Longest text in tokens, its start and its end among them."""
    vocabulary: int = 49408
    """Tokens that the tokenizer knows."""
    end_token: int = 49407
    """The token that ends a text, at which its embedding is read; it fills up shorter texts too."""
    embedding: int = 512
    """Length of the embeddings."""
    tokenizer_bytes: int = 0
    """Length of the tokenizer's JSON, which lies beside the weights; 0 if there is none."""

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise InvalidInput(
                f"image_size must be a multiple of patch_size {self.patch_size}, got {self.image_size}",
                field="image_size",
            )
        for width, heads in (("vision_width", "vision_heads"), ("text_width", "text_heads")):
            if getattr(self, width) % getattr(self, heads):
                raise InvalidInput(
                    f"{width} must be a multiple of {heads} {getattr(self, heads)}, got {getattr(self, width)}",
                    field=width,
                )


class Clip(nn.Module):
    """`transformers.CLIPModel` with its tokenizer: the parameters are named as there, after `model.`.

    The tokenizer's JSON is a tensor of bytes among the weights, so that whoever has the weights can read texts.
    """

    tokenizer: Tensor

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.model = _build(config)
        self.register_buffer("tokenizer", torch.zeros(config.tokenizer_bytes, dtype=torch.uint8))
        self._reader: Tokenizer | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Same as `encode_images`, which is what a frozen network runs."""
        return self.encode_images(images)

    def encode_images(self, images: Tensor) -> Tensor:
        """Embed pictures; gradients may flow to them.

        Args:
            images: (B, 3, S, S) RGB in [-1, 1], of any size.

        Returns:
            (B, embedding) in float32, of unit length.
        """
        expect_shape(images, (None, 3, None, None), "CLIP's images (batch, rgb, height, width)")
        return embedded_images(self.model, normalised(images, self.config.image_size))

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts (B of them) as (B, embedding) in float32, of unit length.

        Raises:
            InvalidInput: A text has no word or too many, or the network came without a tokenizer.
        """
        ids = token_ids(self.reader(), texts, self.config).to(self.tokenizer.device)
        return embedded_texts(self.model, ids)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that the tokenizer has never met, and which therefore say nothing."""
        reader = self.reader()
        unknown = getattr(reader.model, "unk_token", None)
        met = reader.encode(text)
        return [
            text[start:end]
            for token, (start, end) in zip(met.tokens, met.offsets, strict=True)
            if token == unknown and end > start
        ]

    def reader(self) -> "Tokenizer":
        """The tokenizer.

        Raises:
            InvalidInput: The network came without one.
        """
        if self._reader is None:
            self._reader = read_tokenizer(bytes(self.tokenizer.cpu().numpy().tobytes()))
        return self._reader


class TextTower(nn.Module):
    """CLIP's other entry: tokens (B, T) int64 to unit vectors (B, D)."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.model = cast(Clip, clip).model

    def forward(self, tokens: Tensor) -> Tensor:
        """See `Clip.encode_texts`."""
        return embedded_texts(self.model, tokens)


def embedded_images(model: Any, pixels: Tensor) -> Tensor:
    """Pictures (B, 3, S, S), as `normalised` gives them, through a `CLIPModel`: (B, D) in float32, of unit length."""
    return F.normalize(model.get_image_features(pixel_values=pixels).pooler_output.float(), dim=1)


def embedded_texts(model: Any, ids: Tensor) -> Tensor:
    """Texts as tokens (B, T) through a `CLIPModel`: (B, D) in float32, of unit length."""
    return F.normalize(model.get_text_features(input_ids=ids).pooler_output.float(), dim=1)


def normalised(images: Tensor, size: int) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] at the network's size, with the statistics that it was trained with."""
    images = reduced(images, size)
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((images + 1) / 2 - mean) / std


def reduced(images: Tensor, size: int) -> Tensor:
    """Pictures (B, 3, S, S) at the network's size."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images.float(), size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def token_ids(reader: "Tokenizer", texts: Sequence[str], config: ClipConfig) -> Tensor:
    """Texts as tokens (B, text_tokens) int64, filled up with the end token.

    Raises:
        InvalidInput: A text has no word or too many.
    """
    ids = torch.full((len(texts), config.text_tokens), config.end_token)
    for row, (text, found) in enumerate(zip(texts, reader.encode_batch(list(texts)), strict=True)):
        if sum(found.special_tokens_mask) == len(found.ids):
            raise InvalidInput(f"text {text!r} has no word; describe the face, e.g. 'a smiling face'", field="text")
        if len(found.ids) > config.text_tokens:
            raise InvalidInput(
                f"text {text[:60]!r}... has {len(found.ids)} tokens, of {config.text_tokens} that are read; shorten it",
                field="text",
            )
        ids[row, : len(found.ids)] = torch.tensor(found.ids)
    return ids


def read_tokenizer(content: bytes) -> "Tokenizer":
    """A tokenizer of its JSON.

    Raises:
        InvalidInput: It is empty or no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        reader = Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises nothing narrower
        raise InvalidInput(
            f"the network's {TOKENIZER_FILE} cannot be read ({error}); put it into the bundle"
        ) from error
    reader.no_padding()
    reader.no_truncation()
    return reader


def as_bytes(content: bytes) -> Tensor:
    """Bytes as a tensor (N,) uint8 of its own."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).clone()


def _build(config: ClipConfig) -> "CLIPModel":
    from transformers import CLIPConfig, CLIPModel

    def tower(part: str) -> dict[str, int]:
        width = getattr(config, f"{part}_width")
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": getattr(config, f"{part}_layers"),
            "num_attention_heads": getattr(config, f"{part}_heads"),
            "projection_dim": config.embedding,
        }

    vision = {"image_size": config.image_size, "patch_size": config.patch_size}
    text = {
        "vocab_size": config.vocabulary,
        "max_position_embeddings": config.text_tokens,
        "bos_token_id": None,
        "pad_token_id": config.end_token,
        "eos_token_id": config.end_token,
    }
    model = CLIPModel(
        CLIPConfig(
            vision_config=tower("vision") | vision,
            text_config=tower("text") | text,
            projection_dim=config.embedding,
        )
    )
    # Numbers of the places, which no file has: a network that is built without memory must have them nonetheless.
    patches = (config.image_size // config.patch_size) ** 2 + 1
    for part, places in ((model.vision_model, patches), (model.text_model, config.text_tokens)):
        numbers = torch.arange(places, device="cpu")[None]
        part.embeddings.register_buffer("position_ids", numbers, persistent=False)
    return model
