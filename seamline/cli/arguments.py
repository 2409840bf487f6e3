"""What is typed on the command line, checked before anything is started."""

import os
from enum import StrEnum
from math import isfinite
from pathlib import Path

from seamline.errors import InvalidInput
from seamline.v1.aligner_pb2 import LandmarkBackend


class Landmarks(StrEnum):
    """Who finds the faces and their landmarks."""

    BUNDLE = "bundle"
    DLIB = "dlib"
    FACE_ALIGNMENT = "face-alignment"

    def to_proto(self) -> LandmarkBackend.ValueType:
        """As the aligner's request has it."""
        return LandmarkBackend.Value(f"LANDMARK_BACKEND_{self.name}")


def parse_edits(texts: list[str]) -> dict[str, float]:
    """Reads "smile=+2" into {"smile": 2.0}.

    Raises:
        InvalidInput: one is not name=strength, or a name comes twice.
    """
    edits: dict[str, float] = {}
    for text in texts:
        name, separator, number = text.partition("=")
        strength = _number(number)
        if not name or not separator or strength is None:
            raise InvalidInput(f"--edit {text!r} is not name=strength, for instance smile=+2", field="--edit")
        if name in edits:
            raise InvalidInput(f"--edit {name} is given twice; add the strengths up", field="--edit")
        edits[name] = strength
    return edits


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def check_files(source: Path, outputs: list[Path]) -> None:
    """Checks that the source is there and that no output would replace it.

    Raises:
        InvalidInput: names the file.
    """
    if not source.is_file():
        raise InvalidInput(f"there is no file {source}", field="VIDEO")
    for path in outputs:
        if path.exists() and path.samefile(source):
            raise InvalidInput(f"{path} is the source itself; choose another output", field="--out")
        if path.is_dir():
            raise InvalidInput(f"{path} is a directory; name a file in it", field="--out")
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise InvalidInput("video, JSON and report need different file names", field="--out")


def cache_directory() -> Path:
    """Where local work is kept: SEAMLINE_CACHE, else seamline/ in the user's cache directory."""
    if own := os.environ.get("SEAMLINE_CACHE"):
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "seamline"


def bundles_directory() -> Path | None:
    """The installed bundles, where SEAMLINE_BUNDLES names another place than Seamline's own."""
    path = os.environ.get("SEAMLINE_BUNDLES")
    return Path(path) if path else None
