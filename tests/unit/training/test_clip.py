import numpy as np
import pytest
import torch

from seamline.networks.clip import read_tokenizer, token_ids
from training.augment import Spread, jitter, warp
from training.clip import (
    COLUMNS,
    END,
    PAIRS,
    UNKNOWN,
    TextBatches,
    _colour,
    _cross_entropy,
    _move,
    _zero_shot,
    augmented,
    fit,
    fitting,
    tokenizer_json,
    untrained,
)
from training.loop import LoopConfig
from training.renderer.parameters import INDEX, sample, standardise
from training.texts import FACTS, UNHEARD, every_wording, facts

SMALL = {
    "image_size": 32, "patch_size": 16, "vision_width": 32, "vision_layers": 1, "vision_heads": 2, "text_width": 32,
    "text_layers": 1, "text_heads": 2, "text_tokens": 48, "embedding": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_json()


def batches(tokenizer: str, raw: np.ndarray, batch_size: int) -> TextBatches:
    config = untrained(SMALL, tokenizer).config
    return TextBatches(raw=raw, tokenizer=tokenizer, config=config, batch_size=batch_size, seed=1)


def test_the_tokenizer_knows_all_words_that_are_trained(tokenizer):
    reader = read_tokenizer(tokenizer.encode())
    texts = every_wording() + [text for pair in PAIRS.values() for text in pair[:2]]
    assert [text for text in texts if UNKNOWN in reader.encode(text).tokens] == []
    assert UNKNOWN in reader.encode(f"a {UNHEARD} of a face").tokens
    assert reader.encode("A FACE, with glasses!").ids == reader.encode("a face with glasses").ids
    assert reader.token_to_id(END) != 2
    assert tokenizer_json() == tokenizer


def test_a_step_always_has_the_same_batch(tokenizer):
    made = batches(tokenizer, sample(np.random.default_rng(0), 12), 4)
    one, two, other = made(2), made(2), made(1)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["holding"], other["holding"])
    assert one["tokens"].shape[0] == 4
    assert torch.equal(one["holding"], torch.from_numpy(facts(made.raw[one["rows"].numpy()])))
    assert not (one["said"] & ~one["holding"]).any()
    assert torch.equal(one["z"], torch.from_numpy(standardise(made.raw[one["rows"].numpy()])[:, COLUMNS]))


def test_tokens_end_with_the_longest_text(tokenizer):
    made = batches(tokenizer, sample(np.random.default_rng(0), 12), 4)
    tokens = made(0)["tokens"]
    ended = tokens == made.config.end_token
    assert ended[:, -1].all()
    assert not ended[:, -2].all()


def test_a_text_fits_all_pictures_of_which_its_facts_hold():
    said = torch.tensor([[True, False, False], [True, True, False], [False, False, False]])
    holding = torch.tensor([[True, False, True], [True, True, False]])
    assert fitting(said, holding).tolist() == [[True, True], [False, True], [True, True]]


def test_what_fits_is_no_negative():
    fits = torch.tensor([[True, True, False]])
    shared = _cross_entropy(torch.tensor([[9.0, 9.0, -9.0]]), fits)
    assert float(shared) == pytest.approx(np.log(2), abs=1e-3)
    assert _cross_entropy(torch.tensor([[9.0, -9.0, -9.0]]), fits) > shared + 1


def picture(size: int = 32) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.stack([128 + 90 * np.sin(x / 5), 128 + 90 * np.cos(y / 4), 4 * x + 2 * y], 2).astype(np.uint8)


def augmentation(move: np.ndarray, colour: np.ndarray, blur: float) -> dict[str, torch.Tensor]:
    return {"moves": _move(move, 32)[None], "colours": _colour(colour)[None], "blur": torch.tensor([blur])}


def test_pictures_are_moved_as_elsewhere():
    move = jitter(32, Spread(degrees=10, log_scale=0.2, shift=0.1), np.random.default_rng(2))
    given = torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 127.5 - 1
    moved = augmented(given, augmentation(move, np.eye(3, 4), 0.0))
    expected = warp(picture(), move, 32).astype(np.float32)
    found = ((moved[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    assert np.abs(found - expected)[6:-6, 6:-6].max() < 3


def test_colours_change_half_as_much_as_elsewhere():
    matrix = np.column_stack([np.diag([0.5, 1.0, 1.5]), [40, 0, -20]])
    grey = torch.full((1, 3, 32, 32), 100 / 127.5 - 1)
    tinted = (augmented(grey, augmentation(np.eye(2, 3), matrix, 0.0)) + 1) * 127.5
    torch.testing.assert_close(tinted[0, :, 9, 9], torch.tensor([95.0, 100.0, 115.0]), atol=1e-2, rtol=0)


def test_blur_softens():
    given = torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 127.5 - 1
    given[..., ::2] = -given[..., ::2]
    soft, sharp = (augmented(given, augmentation(np.eye(2, 3), np.eye(3, 4), blur)) for blur in (1.0, 0.0))
    torch.testing.assert_close(sharp, given, atol=1e-4, rtol=0)
    assert soft.diff(dim=3).abs().mean() < 0.8 * sharp.diff(dim=3).abs().mean()


def test_a_short_training_reads_what_is_seen(tokenizer, tmp_path):
    """Pictures on which glasses are a bright half, and two texts."""
    torch.manual_seed(0)
    raw = sample(np.random.default_rng(0), 16)
    raw[:, INDEX["glasses"]] = np.arange(16) % 2
    wearing = torch.arange(16) % 2 == 1
    pictures = torch.full((16, 3, 32, 32), 60, dtype=torch.uint8)
    pictures[wearing, :, :16] = 200
    clip = untrained(SMALL, tokenizer)
    texts = token_ids(clip.reader(), PAIRS["glasses"][:2], clip.config)
    made = batches(tokenizer, raw, 16)

    def batch(step):
        given = dict(made(step))
        worn = wearing[given["rows"]]
        facts_of = torch.stack([worn, ~worn], 1)
        return {**given, "tokens": texts[(~worn).long()], "said": facts_of, "holding": facts_of}

    fit(clip, pictures, batch, tmp_path, LoopConfig(steps=30, learning_rate=3e-3, ema=0.8))
    with torch.inference_mode():
        figures = _zero_shot(clip, clip.encode_images(pictures.float() / 127.5 - 1), facts(raw))
    assert figures["zero_shot_glasses"] == 1
    assert torch.equal(clip.model.text_model.embeddings.position_ids[0], torch.arange(48))


def test_pairs_ask_for_facts():
    assert set(FACTS) >= {fact for pair in PAIRS.values() for fact in pair[2:]}
