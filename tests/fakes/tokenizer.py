"""A tokenizer of few words, such as a bundle's CLIP carries."""

from functools import cache

WORDS = ("a", "an", "the", "of", "face", "person", "photo", "smiling", "old", "with", "without", "glasses", "hat")
START, END, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|unknown|>"


@cache
def few_words() -> bytes:
    """Its JSON; all words but `WORDS` are one unknown word. The end token is the last, as in the public one."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate((UNKNOWN, *WORDS, START, END))}
    reader = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    reader.normalizer = normalizers.Lowercase()
    reader.pre_tokenizer = pre_tokenizers.Whitespace()
    reader.add_special_tokens([START, END, UNKNOWN])
    specials = [(START, vocabulary[START]), (END, vocabulary[END])]
    reader.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=specials)
    return reader.to_str().encode()


def sizes() -> dict[str, int]:
    """The config of a tiny CLIP that reads with it."""
    return {
        "image_size": 32,
        "patch_size": 16,
        "vision_width": 16,
        "vision_layers": 1,
        "vision_heads": 2,
        "text_width": 8,
        "text_layers": 1,
        "text_heads": 2,
        "text_tokens": 24,
        "vocabulary": len(WORDS) + 3,
        "end_token": len(WORDS) + 2,
        "embedding": 8,
        "tokenizer_bytes": len(few_words()),
    }
