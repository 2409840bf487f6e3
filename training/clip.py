"""Trains CLIP on rendered portraits: `python -m training.clip --data runs/dataset --out runs/clip`.

Of every picture a prompt states a few facts, as a user would. It fits every picture of the batch that its facts hold
of, so that the targets of the symmetric contrastive loss (Radford et al. 2021, arXiv:2103.00020) are shared among
those. A linear map also reads the renderer's parameters from the pictures' embeddings: what these should tell
apart is learned in a fraction of the steps that the texts alone would take. The map is then thrown away.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamline.networks.clip import (
    Clip,
    ClipConfig,
    as_bytes,
    embedded_texts,
    normalised,
    read_tokenizer,
    token_ids,
)
from training.aligned import reduce, shuffled, to_tensor
from training.augment import Spread, colour_matrix, jitter
from training.command import finish, options
from training.data import Portraits
from training.loop import Batch, LoopConfig, train
from training.renderer.parameters import ATTRIBUTES, INDEX, standardise, unstandardise
from training.texts import FACTS, every_wording, facts, prompt

BATCH = 64
SIZES = {
    "image_size": 64,
    "patch_size": 16,
    "vision_width": 128,
    "vision_layers": 4,
    "vision_heads": 4,
    "text_width": 128,
    "text_layers": 2,
    "text_heads": 4,
    "text_tokens": 48,
    "embedding": 128,
}
COLUMNS = [INDEX[name] for name in (*ATTRIBUTES, "eye_colour", "hair_wave")]
"""Parameters that texts speak of."""
START, END, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|unknown|>"
HOTTEST = float(np.log(100))
"""Bound of the learned temperature's logarithm, as in CLIP."""
PAIRS = {
    "glasses": ("a face with glasses", "a face without glasses", "glasses", "no glasses"),
    "hat": ("a face with a hat", "a face without a hat", "hat", "no hat"),
    "earrings": ("a face with earrings", "a face without earrings", "earrings", "no earrings"),
    "smile": ("a smiling face", "a sad face", "smiling", "sad"),
    "age": ("an old face", "a young face", "old", "young"),
    "gender": ("a man", "a woman", "man", "woman"),
    "beard": ("a face with a beard", "a face without a beard", "beard", "no beard"),
    "bald": ("a bald person", "a person with long hair", "bald", "long hair"),
    "hair_length": ("a person with long hair", "a person with short hair", "long hair", "short hair"),
    "hair_colour": ("a face with blond hair", "a face with black hair", "blond hair", "black hair"),
    "mouth": ("a face with an open mouth", "a face with a closed mouth", "open mouth", "closed mouth"),
    "skin": ("a face with dark skin", "a face with light skin", "dark skin", "light skin"),
}
"""Two texts to choose from, and the facts that make the one or the other right."""


def tokenizer_json() -> str:
    """A tokenizer of the words in prompts; all others are one unknown word."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    reader = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    words = normalizers.Replace(Regex(r"[^\p{L}\p{N}]+"), " ")
    reader.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), words])
    reader.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # The end token must not be 2, which transformers takes for a mistake of old checkpoints.
    reader.train_from_iterator(
        every_wording(), trainers.WordLevelTrainer(special_tokens=[END, START, UNKNOWN], show_progress=False)
    )
    specials = [(START, 1), (END, 0)]
    reader.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=specials)
    return reader.to_str()


def untrained(sizes: dict[str, int], tokenizer: str) -> Clip:
    """A CLIP with random weights that reads texts with the tokenizer."""
    content = tokenizer.encode()
    reader = read_tokenizer(content)
    vocabulary = {"vocabulary": reader.get_vocab_size(), "end_token": reader.token_to_id(END)}
    clip = Clip(ClipConfig(**sizes, **vocabulary, tokenizer_bytes=len(content)))
    clip.tokenizer.copy_(as_bytes(content))
    return clip


@dataclass(frozen=True, kw_only=True)
class TextBatches:
    """Which pictures a step shows, what is said of them, and how they are changed: a function of the step."""

    raw: np.ndarray
    """Raw parameters (N, P) of the portraits."""
    tokenizer: str
    config: ClipConfig
    batch_size: int
    seed: int

    def __call__(self, step: int) -> Batch:
        """Make a step's batch.

        Returns:
            rows (B,), tokens (B, T), facts (B, F) that hold and that are said, standardised parameters
            (B, len(COLUMNS)), and what augments the pictures: moves (B, 2, 3), colours (B, 3, 4) and blur (B,).
        """
        rng = np.random.default_rng((self.seed, step))
        rows = shuffled(len(self.raw), step, self.batch_size, self.seed)
        holding = facts(self.raw[rows])
        prompts, said = zip(*(prompt(row, rng) for row in holding), strict=True)
        tokens = token_ids(read_tokenizer(self.tokenizer.encode()), prompts, self.config)
        longest = int((tokens != self.config.end_token).sum(1).max()) + 1
        size = self.config.image_size
        return {
            "rows": torch.from_numpy(rows),
            "tokens": tokens[:, :longest],
            "holding": torch.from_numpy(holding),
            "z": torch.from_numpy(standardise(self.raw[rows])[:, COLUMNS]),
            "said": torch.from_numpy(np.stack(said)),
            "moves": torch.stack([_move(jitter(size, Spread(), rng), size) for _ in rows]),
            "colours": torch.stack([_colour(colour_matrix(rng)) for _ in rows]),
            "blur": torch.from_numpy(rng.uniform(-1, 1, len(rows)).clip(0).astype(np.float32)),
        }


def _move(matrix: np.ndarray, size: int) -> Tensor:
    """The inverse of a map of pixels as `affine_grid` wants it (2, 3): in shares of the side, from the centre."""
    to_unit = np.array([[2 / size, 0, 1 / size - 1], [0, 2 / size, 1 / size - 1], [0, 0, 1]])
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    return torch.from_numpy((to_unit @ back @ np.linalg.inv(to_unit))[:2].astype(np.float32))


def _colour(matrix: np.ndarray) -> Tensor:
    """An affine map (3, 4) of RGB in -1..1, half as strong as one of 0..255: texts name colours."""
    gain = (matrix[:, :3] + np.eye(3)) / 2
    offset = (gain.sum(1) * 127.5 + matrix[:, 3] / 2) / 127.5 - 1
    return torch.from_numpy(np.column_stack([gain, offset]).astype(np.float32))


def augmented(images: Tensor, batch: Batch) -> Tensor:
    """Move, tint and blur pictures (B, 3, S, S) as the batch says."""
    grid = F.affine_grid(batch["moves"], list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain, offset = batch["colours"].split((3, 1), dim=2)
    images = torch.einsum("bij,bjhw->bihw", gain, images) + offset[..., None]
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.lerp(images, blurred, batch["blur"].view(-1, 1, 1, 1)).clamp(-1, 1)


class Pupil(nn.Module):
    """A CLIP, and the map (embedding to parameters) that only training needs."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.model = clip.model
        self.parameters_of = nn.Linear(clip.config.embedding, len(COLUMNS))


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The loss: of every text, which pictures it fits; of every picture, which texts, and its parameters."""

    pictures: Tensor
    """(N, 3, S, S) uint8, on the device that trains."""

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of both ways, and the mean squared error in standard deviations."""
        pupil = cast(Pupil, network)
        with torch.autocast(batch["tokens"].device.type, enabled=False):
            images = augmented(self.pictures[batch["rows"]].float() / 127.5 - 1, batch)
            images = normalised(images, images.shape[-1])
        seen = pupil.model.get_image_features(pixel_values=images).pooler_output
        texts = embedded_texts(pupil.model, batch["tokens"])
        with torch.autocast(batch["tokens"].device.type, enabled=False):
            seen = seen.float()
            error = (pupil.parameters_of(seen) - batch["z"]).square().mean()
            warmth = pupil.model.logit_scale.clamp(max=HOTTEST).exp()
            scores = texts @ F.normalize(seen, dim=1).T * warmth
            return _both_ways(scores, fitting(batch["said"], batch["holding"])) + error


def fitting(said: Tensor, holding: Tensor) -> Tensor:
    """Whether all that a text (T, F) states holds of a picture (P, F): (T, P) bool."""
    return said.float() @ (~holding).float().T == 0


def _both_ways(scores: Tensor, fits: Tensor) -> Tensor:
    return (_cross_entropy(scores, fits) + _cross_entropy(scores.T, fits.T)) / 2


def _cross_entropy(scores: Tensor, fits: Tensor) -> Tensor:
    """Of each row, against a target that all that fits shares."""
    return F.cross_entropy(scores, fits.float() / fits.sum(1, keepdim=True))


def resident(portraits: Portraits, size: int, device: str) -> Tensor:
    """All pictures (N, 3, size, size) uint8 in the device's memory."""
    parts = np.array_split(np.arange(len(portraits)), max(1, len(portraits) // 1000))
    small = [np.stack([reduce(image, size) for image in portraits.rows("images", part)]) for part in parts]
    return torch.cat([torch.from_numpy(part).to(device).permute(0, 3, 1, 2).contiguous() for part in small])


@torch.inference_mode()
def evaluate(clip: Clip, portraits: Portraits, count: int = 1024) -> dict[str, float]:
    """Balanced accuracy of choosing between two texts."""
    rows = np.arange(min(count, len(portraits)))
    raw = unstandardise(portraits.rows("z", rows))
    parts = np.array_split(rows, max(1, len(rows) // 64))
    pictures = torch.cat([clip.encode_images(to_tensor(portraits.rows("images", part))) for part in parts])
    return _zero_shot(clip, pictures, facts(raw))


def _zero_shot(clip: Clip, pictures: Tensor, holding: np.ndarray) -> dict[str, float]:
    columns = {name: holding[:, number] for number, name in enumerate(FACTS)}
    figures: dict[str, float] = {}
    for name, (first, second, is_first, is_second) in PAIRS.items():
        scores = pictures @ clip.encode_texts([first, second]).T
        chosen = (scores[:, 0] > scores[:, 1]).numpy()
        of_first, of_second = columns[is_first] & ~columns[is_second], columns[is_second] & ~columns[is_first]
        if of_first.any() and of_second.any():
            right = (chosen[of_first].mean() + 1 - chosen[of_second].mean()) / 2
            figures[f"zero_shot_{name}"] = float(right)
    return {"zero_shot_mean": float(np.mean(list(figures.values())))} | figures


def fit(clip: Clip, pictures: Tensor, batches: Callable[[int], Batch], out: Path, loop: LoopConfig) -> None:
    """Train a CLIP in place on pictures (N, 3, S, S) uint8; it ends on the CPU, in evaluation mode."""
    averaged = cast(Pupil, train(Pupil(clip), Contrast(pictures=pictures), batches, out, loop))
    # Only the weights are taken: averaging rounds whole numbers, such as those of the tokens' places.
    clip.model.load_state_dict(averaged.model.state_dict())
    clip.cpu().eval()


def main() -> None:
    """Train and report; see `--help`."""
    defaults = LoopConfig(steps=7700, learning_rate=1.5e-3, weight_decay=0.1, ema=0.995, warmup=0.05)
    asked = options("clip", __doc__ or "", defaults)
    training, held_out = Portraits.split(asked.data)
    tokenizer = tokenizer_json()
    clip = untrained(SIZES, tokenizer)
    batches = TextBatches(
        raw=unstandardise(training.rows("z", np.arange(len(training)))),
        tokenizer=tokenizer,
        config=clip.config,
        batch_size=min(BATCH, len(training)),
        seed=asked.loop.seed,
    )
    fit(clip, resident(training, SIZES["image_size"], asked.loop.device), batches, asked.out, asked.loop)
    finish(asked, clip, asdict(clip.config), evaluate(clip, held_out))


if __name__ == "__main__":
    main()
