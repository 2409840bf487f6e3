"""The file by which an edit goes on from an inversion that exists, such as an imported one."""

import json
from pathlib import Path

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from seamline.errors import InvalidInput
from seamline.v1.editor_pb2 import InvertedVideo

REMEDY = "write it with seamline bundles import-stit"


def write_inverted(path: Path, bundle: str, inverted: InvertedVideo) -> None:
    """Writes what `read_inverted` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"bundle": bundle} | MessageToDict(inverted), indent=2) + "\n")


def read_inverted(path: Path) -> tuple[str, InvertedVideo]:
    """The bundle that it was made with, and what exists.

    Raises:
        InvalidInput: there is no such file, or it is another one.
    """
    try:
        content = json.loads(path.read_bytes())
        bundle = content.pop("bundle")
        return str(bundle), ParseDict(content, InvertedVideo())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ParseError) as error:
        raise InvalidInput(f"{path}: says nothing of an inversion ({error}); {REMEDY}", field="--from") from error
