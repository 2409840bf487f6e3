"""Where things lie in a store: all that is of one video below two prefixes, so that it can be removed as a whole."""

import re

from seamline.errors import InvalidInput

SHARED = "shared"
"""In place of a video's digest: of no video, but of use to all."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def source_key(video: str, suffix: str) -> str:
    """Where the video of this digest lies that was uploaded or fetched; the suffix, such as ".mp4", is its file's."""
    return f"{videos_prefix(video)}source{suffix.lower()}"


def videos_prefix(video: str) -> str:
    """What the key of an uploaded or fetched video starts with. Raises InvalidInput if `video` is not a digest."""
    return f"videos/{check_digest(video)}/"


def artifacts_prefix(video: str) -> str:
    """What the keys of all that was made of a video start with, finished or not.

    Raises:
        InvalidInput: `video` is neither a digest nor `SHARED`.
    """
    return f"artifacts/{video if video == SHARED else check_digest(video)}/"


def check_digest(sha256: str, field: str = "sha256", **context: object) -> str:
    """Returns an object's digest if it is one. Raises InvalidInput, with the field and the context, otherwise."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput(
            f"{field} must be the SHA-256 of the object's bytes as 64 lower-case hex digits, not {sha256[:80]!r}",
            field=field,
            **context,
        )
    return sha256
