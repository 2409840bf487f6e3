"""Which of the files given for a CLIP is what."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seamline.checkpoints.formats.clip_tokenizer import read_json
from seamline.errors import InvalidInput, NotFound

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Of `transformers`, the better one first."""


@dataclass(frozen=True, kw_only=True)
class ClipFiles:
    """The files of one CLIP."""

    weights: Path
    config: Path | None = None
    """`transformers`' config.json."""
    tokenizer: Path | None = None
    """tokenizer.json."""
    vocabulary: Path | None = None
    """vocab.json."""
    pairs: Path | None = None
    """merges.txt, or bpe_simple_vocab_16e6.txt.gz."""

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "ClipFiles":
        """Sort files by their contents, so that they may have any names and order.

        Raises:
            NotFound: A file is missing.
            InvalidInput: There are no weights, or two files are the same thing.
        """
        files: dict[str, Path] = {}
        for path in _unfolded(paths):
            what = _what(path)
            if what in files:
                raise InvalidInput(f"{path}: is another {what} beside {files[what].name}; leave one out", path=path)
            files[what] = path
        if "weights" not in files:
            named = ", ".join(map(str, paths))
            raise InvalidInput(f"{named}: no weights among them; give ViT-B-32.pt or {WEIGHTS[0]}", path=named)
        return cls(**files)


def _unfolded(paths: Sequence[Path]) -> list[Path]:
    """The files, with folders replaced by those of a checkpoint that they hold."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path}: no such file", path=path)
        files += _inside(path) if path.is_dir() else [path]
    return files


def _inside(folder: Path) -> list[Path]:
    weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not weights or not (folder / "config.json").is_file():
        raise NotFound(f"{folder}: has no config.json with {' or '.join(WEIGHTS)} beside it", path=folder)
    tokenizer = ["tokenizer.json"] if (folder / "tokenizer.json").is_file() else ["vocab.json", "merges.txt"]
    others = [folder / name for name in ("config.json", *tokenizer)]
    return [weights[0], *(path for path in others if path.is_file())]


def _what(path: Path) -> str:
    """The field of `ClipFiles` that a file is for."""
    if path.suffix in (".txt", ".gz"):
        return "pairs"
    if path.suffix != ".json":
        return "weights"
    found = read_json(path)
    if isinstance(found, dict) and "text_config" in found:
        return "config"
    return "tokenizer" if isinstance(found, dict) and isinstance(found.get("model"), dict) else "vocabulary"
