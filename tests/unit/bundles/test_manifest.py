import math
import tomllib

import pytest

from seamline.bundles.manifest import format_manifest, parse_manifest, read_manifest
from seamline.errors import InvalidInput

ENTRY = {
    "file": "a.safetensors",
    "sha256": "0" * 64,
    "size": 1,
    "licence": 'say "free" \\ now',
    "source": "here",
}
TABLE = {
    "name": "some",
    "version": 2,
    "resolution": 64,
    "networks": {"attributes": ENTRY | {"config": {"names": ["a", "b"], "flag": True, "rate": 1e-05}}},
    "directions": {"file": "d.safetensors", "sha256": "1" * 64, "size": 2},
    "edits": {
        "smile": {"description": "Smile", "min": -1.0, "max": 2.0, "attribute": "smile"},
        "hat": {"description": "Hat", "min": -1.0, "max": 2.0, "attribute": "hat", "ends": [-1.25, math.inf]},
    },
    "invert": {"max_passes": 3},
    "stitch": {},
}


def test_what_is_written_reads_back():
    manifest = parse_manifest(TABLE)
    assert manifest.edits["hat"].ends == (-1.25, math.inf)
    assert manifest.edits["smile"].ends == (-math.inf, math.inf)
    assert parse_manifest(tomllib.loads(format_manifest(manifest))) == manifest


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"file": "../a"}, "plain name"),
        ({"sha256": "abc"}, "64 hex digits"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_wrong_entry_is_explained(entry, reason):
    with pytest.raises((TypeError, ValueError), match=reason):
        parse_manifest(TABLE | {"networks": {"attributes": ENTRY | entry}})


def test_a_range_without_zero_is_refused():
    edit = TABLE["edits"]["smile"] | {"min": 1.0}
    with pytest.raises(ValueError, match="must hold 0"):
        parse_manifest(TABLE | {"edits": {"smile": edit}})


@pytest.mark.parametrize("ends", [[1.0, 1.0], [2.0, -2.0], [0.0], [0.0, 1.0, 2.0], [math.nan, 1.0]])
def test_ends_that_hold_nothing_are_refused(ends):
    edit = TABLE["edits"]["smile"] | {"ends": ends}
    with pytest.raises(ValueError, match=r"edits\.smile: ends must be two numbers"):
        parse_manifest(TABLE | {"edits": {"smile": edit}})


@pytest.mark.parametrize("text", ["name = ", 'name = "x"', "\xff"])
def test_an_unreadable_manifest_names_its_path(tmp_path, text):
    (tmp_path / "bundle.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"bundle\.toml"):
        read_manifest(tmp_path)
