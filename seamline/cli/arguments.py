"""What is typed on the command line, checked before anything is started."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path

import numpy as np

from seamline.errors import InvalidInput
from seamline.v1.media_pb2 import Edit, EditMethod, Keyframe, TextEdit, TextStyle

METHODS = {
    "direction": EditMethod.EDIT_METHOD_DIRECTION,
    "lt": EditMethod.EDIT_METHOD_LATENT_TRANSFORMER,
}
"""What may follow a strength, after a colon."""

SWEEP_COUNTS = (2, 64)
"""Fewest and most strengths of a sweep."""

EXAMPLES = (
    "write name=strength as in smile=+2, keyframes as in smile=0@0s,3@1.5s,0@3s, or a sweep as in smile=-3:3:7; "
    ":lt after it takes the latent transformer"
)


@dataclass(frozen=True, kw_only=True)
class NamedEdits:
    """Edits that are applied together, and a name for what comes of it."""

    name: str
    """Fit for a file: "age-4"."""
    edits: tuple[Edit, ...]
    style: TextStyle | None = None


@dataclass(frozen=True, kw_only=True)
class AskedEdits:
    """Every --edit and --text of one command, and its --style."""

    edits: tuple[Edit, ...]
    swept: int = 0
    """Which edit is swept, if any is."""
    strengths: tuple[float, ...] = ()
    """Of the sweep; empty without one."""
    style: TextStyle | None = None

    def variants(self) -> list[NamedEdits]:
        """What to make: one, or one for every strength of the sweep."""
        if not self.strengths:
            names = [f"{_file_name(edit)}{edit.strength:+g}" for edit in self.edits]
            names += [_words(self.style.target)] if self.style else []
            return [NamedEdits(name="_".join(names), edits=self.edits, style=self.style)]
        return [self._at(strength) for strength in self.strengths]

    def _at(self, strength: float) -> NamedEdits:
        swept = Edit()
        swept.CopyFrom(self.edits[self.swept])
        swept.strength = strength
        edits = (*self.edits[: self.swept], swept, *self.edits[self.swept + 1 :])
        return NamedEdits(name=f"{_file_name(swept)}{strength:+g}", edits=edits, style=self.style)


def _file_name(edit: Edit) -> str:
    return edit.name or _words(edit.text.target)


def _words(text: str) -> str:
    return re.sub(r"[^\w]+", "-", text).strip("-")[:60] or "text"


def parse_edits(
    edits: Sequence[str],
    text: tuple[str, str] | None = None,
    beta: float | None = None,
    strength: str | None = None,
    style: TextStyle | None = None,
) -> AskedEdits:
    """Reads what --edit, --text, --beta and --strength say.

    Args:
        edits: "smile=+2", "smile=0@0s,3@1.5s", "smile=-3:3:7", each with ":lt" after it or not.
        text: neutral and target text.
        beta: relevance below which a channel stays, for the text.
        strength: of the text, in the same ways.
        style: what `parse_style` read.

    Raises:
        InvalidInput: one cannot be read, a name comes twice, two are swept, or there is neither edit nor style.
    """
    asked = [_parse_edit(typed) for typed in edits]
    if text is not None:
        asked.append(_parse_text(text, beta, strength))
    elif beta is not None or strength is not None:
        raise InvalidInput(
            '--beta and --strength are for --text; give --text "face" "face with glasses" too', field="--text"
        )
    if not asked and style is None:
        raise InvalidInput(
            "there is nothing to do: give --edit smile=+2, or --text and --strength, or --style", field="--edit"
        )
    names = [edit.name for edit, _ in asked if edit.name]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise InvalidInput(f"--edit {twice} is given twice; add the strengths up", field="--edit")
    sweeps = [(index, strengths) for index, (_, strengths) in enumerate(asked) if strengths]
    if len(sweeps) > 1:
        swept = " and ".join(_file_name(asked[index][0]) for index, _ in sweeps)
        raise InvalidInput(f"{swept} are both swept; give one of them a single strength", field="--edit")
    swept, strengths = sweeps[0] if sweeps else (0, ())
    return AskedEdits(edits=tuple(edit for edit, _ in asked), swept=swept, strengths=strengths, style=style)


def parse_style(style: tuple[str, str] | None, strength: float | None) -> TextStyle | None:
    """What --style and --style-strength say; None if they say nothing.

    Raises:
        InvalidInput: there is a strength of nothing.
    """
    if style is None:
        if strength is not None:
            raise InvalidInput(
                '--style-strength is for --style; give --style "face" "old man with grey hair" too', field="--style"
            )
        return None
    return TextStyle(neutral=style[0], target=style[1], strength=strength)


def _parse_edit(typed: str) -> tuple[Edit, tuple[float, ...]]:
    name, separator, value = typed.partition("=")
    if not separator or not name or not value:
        raise _wrong("--edit", typed, "is not name=strength")
    method, value = _parse_method(typed, value)
    edit = Edit(name=name, method=method)
    return edit, _set_strength(edit, value, "--edit", typed)


def _parse_text(text: tuple[str, str], beta: float | None, strength: str | None) -> tuple[Edit, tuple[float, ...]]:
    if not strength:
        raise InvalidInput("--text needs --strength, for instance --strength 4", field="--strength")
    edit = Edit(text=TextEdit(neutral=text[0], target=text[1], beta=beta))
    return edit, _set_strength(edit, strength, "--strength", strength)


def _parse_method(typed: str, value: str) -> tuple[EditMethod.ValueType, str]:
    """The method after the last colon, and what stands before it."""
    before, _, last = value.rpartition(":")
    if last in METHODS:
        return METHODS[last], before
    if before and last.isalpha() and last not in ("inf", "nan"):
        raise _wrong("--edit", typed, f"names the method {last!r}, and there are only {' and '.join(METHODS)}")
    return EditMethod.EDIT_METHOD_UNSPECIFIED, value


def _set_strength(edit: Edit, value: str, option: str, typed: str) -> tuple[float, ...]:
    """Gives the edit its strength or keyframes; returns the strengths of a sweep."""
    if "@" in value:
        edit.keyframes.extend(_keyframe(part, option, typed) for part in value.split(","))
        times = [keyframe.seconds for keyframe in edit.keyframes]
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise _wrong(option, typed, "has keyframes that are not in ascending order of time")
        return ()
    if ":" in value:
        return _sweep(value, option, typed)
    strength = _number(value)
    if strength is None:
        raise _wrong(option, typed, f"has the strength {value!r}, which is not a number")
    edit.strength = strength
    return ()


def _keyframe(part: str, option: str, typed: str) -> Keyframe:
    """One of "3@1.5s", "3@1500ms", "3@1.5"."""
    written = re.fullmatch(r"([^@]+)@([^@]+?)(s|ms)?", part.strip())
    strength, time = (_number(written[1]), _number(written[2])) if written else (None, None)
    if written is None or strength is None or time is None or time < 0:
        raise _wrong(option, typed, f"has the keyframe {part!r}, which is not strength@seconds")
    return Keyframe(seconds=time / 1000 if written[3] == "ms" else time, strength=strength)


def _sweep(value: str, option: str, typed: str) -> tuple[float, ...]:
    """The strengths of "-3:3:7"."""
    first, last, count = [_number(part) for part in value.split(":")] if value.count(":") == 2 else [None] * 3
    if first is None or last is None or count is None or count != int(count):
        raise _wrong(option, typed, f"has {value!r}, which is not first:last:count")
    low, high = SWEEP_COUNTS
    if not low <= count <= high:
        raise _wrong(option, typed, f"sweeps {int(count)} strengths; {low} to {high} are possible")
    # Adding 0 turns a negative zero into the usual one.
    strengths = tuple((np.linspace(first, last, int(count)) + 0.0).tolist())
    if len({f"{strength:+g}" for strength in strengths}) < len(strengths):
        raise _wrong(option, typed, "sweeps strengths that are too close to tell apart")
    return strengths


def _wrong(option: str, typed: str, what: str) -> InvalidInput:
    return InvalidInput(f"{option} {typed!r} {what}; {EXAMPLES}", field=option)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def check_files(source: Path, outputs: Sequence[Path]) -> None:
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
        if blocking := next((above for above in path.absolute().parents if above.is_file()), None):
            raise InvalidInput(f"{path} cannot be written: {blocking} is a file, not a directory", field="--out")
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise InvalidInput("video, JSON and report need different file names", field="--out")


def check_directory(path: Path) -> None:
    """Checks that several files can go there.

    Raises:
        InvalidInput: it is a file, or looks like one.
    """
    if path.is_file() or (path.suffix and not path.is_dir()):
        raise InvalidInput(
            f"{path} names one file, and there will be several; name a directory, as in -o out/", field="--out"
        )


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
