"""CLIP's tokenizer, made of the byte pairs that its checkpoints come with."""

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from seamline.errors import InvalidInput

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
WORDS: Final = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What is a word: a contraction's end, a run of letters, a digit, or a run of anything else but spaces."""
MOST_BYTES: Final = 64 << 20
"""Of an unpacked list of pairs; the public one has 3 MB."""
REMEDY: Final = "take it from the repository of openai/CLIP, or the files beside transformers' checkpoint"

Pairs = list[tuple[str, str]]


def read_pairs(path: Path) -> Pairs:
    """The byte pairs of a `bpe_simple_vocab_16e6.txt.gz` or a `merges.txt`, most frequent first.

    Raises:
        InvalidInput: It is neither.
    """
    try:
        lines = _content(path).decode().split("\n")[1:]
        pairs = [line.split() for line in lines if line]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: no list of byte pairs ({error}); {REMEDY}", path=path) from error
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise InvalidInput(f"{path}: no list of byte pairs, two to a line; {REMEDY}", path=path)
    return [(first, second) for first, second in pairs]


def vocabulary_of(path: Path, pairs: Pairs, size: int) -> tuple[dict[str, int], Pairs]:
    """The numbers of all tokens, which follow from the pairs; the file may have more pairs than are used.

    Args:
        path: Where the pairs are from.
        pairs: As read.
        size: Tokens that the network knows.

    Raises:
        InvalidInput: There are too few pairs.
    """
    letters = _letters()
    tokens = letters + [letter + WORD_END for letter in letters]
    used = size - len(tokens) - 2
    if not 0 <= used <= len(pairs):
        raise InvalidInput(
            f"{path}: has {len(pairs)} byte pairs, the network's {size} tokens need {used}; {REMEDY}", path=path
        )
    tokens += [first + second for first, second in pairs[:used]] + [START, END]
    return {token: number for number, token in enumerate(tokens)}, pairs[:used]


def tokenizer_json(path: Path, vocabulary: Mapping[str, int], pairs: Pairs) -> bytes:
    """The tokenizer that reads texts as OpenAI's code does: in lower case, spaces joined, bytes paired word by word.

    Args:
        path: Where the pairs are from.
        vocabulary: Numbers by token.
        pairs: Most frequent first.

    Raises:
        InvalidInput: The pairs are not of the vocabulary.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    try:
        ends = [(token, vocabulary[token]) for token in (END, START)]
        reader = Tokenizer(models.BPE(vocab=dict(vocabulary), merges=pairs, unk_token=END, end_of_word_suffix=WORD_END))
    except Exception as error:  # the library raises nothing narrower
        raise InvalidInput(f"{path}: its pairs do not fit the vocabulary ({error}); {REMEDY}", path=path) from error
    reader.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    reader.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    reader.post_processor = processors.RobertaProcessing(*ends, trim_offsets=False, add_prefix_space=False)
    reader.decoder = decoders.ByteLevel()
    reader.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (START, END)])
    return reader.to_str().encode()


def read_vocabulary(path: Path, found: Any) -> dict[str, int]:
    """A `vocab.json`, checked.

    Raises:
        InvalidInput: It does not number tokens.
    """
    if not isinstance(found, dict) or not all(type(number) is int and number >= 0 for number in found.values()):
        raise InvalidInput(f"{path}: does not number tokens; {REMEDY}", path=path)
    return found


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        InvalidInput: It is none, or too large.
    """
    try:
        return json.loads(_content(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: is no JSON ({error}); {REMEDY}", path=path) from error


def _content(path: Path) -> bytes:
    """The file's bytes, unpacked where it is gzipped."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"{path}: unpacks to more than {MOST_BYTES} bytes; {REMEDY}", path=path)
    return content


def _letters() -> list[str]:
    """A character for every byte: those to be seen stand for themselves and come first, the others are moved up."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(code) for code in seen] + [chr(256 + number) for number in range(256 - len(seen))]
