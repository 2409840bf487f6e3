"""What goes together when a video is at an address."""

import pytest

from seamline.cli.remote import check_remote, is_remote
from seamline.errors import InvalidInput

FILM = "https://media.example.com/film.mp4?X-Amz-Signature=0"
PUT = "https://media.example.com/out.mp4?X-Amz-Signature=1"


@pytest.mark.parametrize(
    ("video", "deliver_to", "remote"),
    [
        (FILM, "", True),
        ("film.mp4", PUT, True),
        ("HTTP://a/b", "", True),
        ("film.mp4", "", False),
        ("https", "", False),
    ],
)
def test_an_address_makes_a_call_remote(video, deliver_to, remote):
    assert is_remote(video, deliver_to) is remote


def test_addresses_and_an_editor_are_all_it_takes():
    check_remote(FILM, PUT, "editor:50051", {"--out": None, "the sweep": ()})


@pytest.mark.parametrize(
    ("video", "deliver_to", "editor", "local", "field", "text"),
    [
        ("film.mp4", PUT, "editor:50051", {}, "VIDEO", "write a file with --out"),
        (FILM, "", "editor:50051", {}, "--deliver-to", "presigned for PUT"),
        (FILM, PUT, "", {}, "--editor", "SEAMLINE_EDITOR"),
        (FILM, PUT, "editor:50051", {"--out": "a.mp4", "--report": None}, "--out", "leave --out out"),
        (FILM, PUT, "editor:50051", {"the sweep": (1.0, 2.0)}, "the sweep", "leave the sweep out"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(video, deliver_to, editor, local, field, text):
    with pytest.raises(InvalidInput, match=text) as refused:
        check_remote(video, deliver_to, editor, local)
    assert refused.value.field == field
    assert "Signature" not in str(refused.value)
