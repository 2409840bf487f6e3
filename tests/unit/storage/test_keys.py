"""Keys: what may name an object, the same for every store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.errors import InvalidInput
from seamline.storage.keys import check_key, check_prefix

GOOD = ["a", "videos/0f/source.mp4", "artifacts/0f/align/ab-c_d.e", "ä/日本", "a b/c"]
BAD = [
    "", "/", "/etc/passwd", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", ".hidden", "a/.b", "a\\b",
    "a\0b", "a\nb", "a" * 901, "ä" * 451,
]  # fmt: skip


@pytest.mark.parametrize("key", GOOD)
def test_good_keys(key: str) -> None:
    assert check_key(key) == key
    assert check_prefix(key) == key
    assert check_prefix(key + "/") == key + "/"


@pytest.mark.parametrize("key", BAD)
def test_bad_keys_are_refused_with_a_reason(key: str) -> None:
    with pytest.raises(InvalidInput, match=r"^object key .* (is|has) ") as caught:
        check_key(key)
    assert "segments joined by '/'" in str(caught.value)


def test_the_empty_prefix_means_everything() -> None:
    assert check_prefix("") == ""


@given(st.lists(st.sampled_from(["a", "..", ".", "", "\\", "b.c", "~"]), min_size=1, max_size=6).map("/".join))
def test_no_accepted_key_leads_out(key: str) -> None:
    try:
        check_key(key)
    except InvalidInput:
        return
    depth = 0
    for segment in key.split("/"):
        depth += -1 if segment == ".." else 1
        assert depth > 0
