"""Which addresses of requests may be connected to, and what is shown of them."""

import pytest
from seamline_editor.addresses import LONGEST, Origins, is_address, without_secrets

from seamline.errors import InvalidInput

ORIGINS = Origins.parse(
    "https://media.example.com, https://s3.test:8443/,http://store.local:9000,https://[2001:db8::1]"
)


@pytest.mark.parametrize(
    ("uri", "origin", "target"),
    [
        ("https://media.example.com/a/b.mp4", "https://media.example.com", "/a/b.mp4"),
        ("HTTPS://Media.Example.COM:443/A.mp4?X-Sig=a%2Fb&c", "https://media.example.com", "/A.mp4?X-Sig=a%2Fb&c"),
        ("https://media.example.com", "https://media.example.com", "/"),
        ("https://media.example.com?list", "https://media.example.com", "/?list"),
        ("https://s3.test:8443/bucket/o@home", "https://s3.test:8443", "/bucket/o@home"),
        ("https://s3.test:08443/x", "https://s3.test:8443", "/x"),
        ("http://store.local:9000/x", "http://store.local:9000", "/x"),
        ("https://[2001:DB8::1]:443/x", "https://[2001:db8::1]", "/x"),
        ("https://media.example.com/../%2e%2e/x?a?b/c", "https://media.example.com", "/../%2e%2e/x?a?b/c"),
    ],
)
def test_an_address_of_an_allowed_origin_is_taken_apart(uri, origin, target):
    address = ORIGINS.check(uri, "video.uri")
    assert (str(address.origin), address.target, address.field) == (origin, target, "video.uri")


@pytest.mark.parametrize(
    "uri",
    [
        # Other hosts, ports and schemes.
        "https://evil.example/x",
        "http://media.example.com/x",
        "https://store.local:9000/x",
        "https://media.example.com:8443/x",
        "https://media.example.com:99999/x",
        "http://127.0.0.1/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/x",
        "https://[2001:db8:0::1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        # Names that look alike.
        "https://media.example.com.evil.example/x",
        "https://evil-media.example.com/x",
        "https://mediaXexample.com/x",
        "https://media.example.co/x",
        "https://media.example.com./x",
        "https://MEDIA.EXAMPLE.\u1d04om/x",
        "http://\u017ftore.local:9000/x",
    ],
)
def test_another_origin_is_refused(uri):
    with pytest.raises(InvalidInput, match=r"^deliver_to: ") as refused:
        ORIGINS.check(uri, "deliver_to")
    assert refused.value.field == "deliver_to"


@pytest.mark.parametrize(
    "uri",
    [
        # What one parser takes for the host, and another for a user, a port, a path or a fragment.
        "https://media.example.com@evil.example/x",
        "https://media.example.com:443@evil.example/x",
        "https://user:password@media.example.com/x",
        "https://@media.example.com/x",
        "https://evil.example\\@media.example.com/x",
        "https://media.example.com\\@evil.example/x",
        "https://media.example.com#@evil.example/x",
        "https://media.example.com/x#fragment",
        "https://media.example.com%2eevil.example/x",
        "https://media.example.com%00.evil.example/x",
        "https://media.example.com:/x",
        "https://media.example.com:443:80/x",
        "https://media.example.com:80x/x",
        "https://media.example.com:+443/x",
        "https://media.example.com:\uff14\uff14\uff13/x",
        "https://[2001:db8::1/x",
        "https://[2001:db8::1%25eth0]/x",
        "https:///media.example.com/x",
        "https:media.example.com/x",
        "https:\\\\media.example.com/x",
        "https:/media.example.com/x",
        # What would end a line of the request.
        "https://media.example.com/x\r\nHost: evil.example",
        "https://media.example.com/x y",
        "https://media.example.com/x\t",
        "https://media.example.com/\x00",
        " https://media.example.com/x",
        "https://media.example.com/ä",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(uri):
    with pytest.raises(InvalidInput, match=r"cannot be read as https://host"):
        ORIGINS.check(uri, "video.uri")


def test_an_endless_address_is_refused():
    start = "https://media.example.com/"
    ORIGINS.check(start.ljust(LONGEST, "a"), "video.uri")
    with pytest.raises(InvalidInput, match="8193 characters"):
        ORIGINS.check(start.ljust(LONGEST + 1, "a"), "video.uri")


def test_without_a_list_nothing_is_allowed():
    with pytest.raises(InvalidInput, match="SEAMLINE_URL_ORIGINS allows none"):
        Origins.parse("").check("https://media.example.com/x", "video.uri")


@pytest.mark.parametrize(
    "text",
    [
        "media.example.com",
        "https://*.example.com",
        "https://media.example.com/bucket",
        "https://user@media.example.com",
        "ftp://media.example.com",
        "https://a.example https://b.example",
        "https://",
    ],
)
def test_a_list_with_something_else_in_it_is_refused(text):
    with pytest.raises(InvalidInput, match="is no origin"):
        Origins.parse(f"https://good.example, {text}")


SECRET = "X-Amz-Signature=0123"


@pytest.mark.parametrize(
    "uri",
    [
        f"https://evil.example/x?{SECRET}",
        f"https://media.example.com/x?{SECRET}#f",
        f"https://{SECRET}@media.example.com/x",
        f"https://media.example.com/x#{SECRET}",
        f" https://media.example.com/x?{SECRET}",
        f"https:/media.example.com/x?{SECRET}",
    ],
)
def test_no_message_shows_a_secret(uri):
    with pytest.raises(InvalidInput) as refused:
        ORIGINS.check(uri, "video.uri")
    assert SECRET not in str(refused.value)
    assert SECRET not in str(refused.value.metadata)
    assert SECRET not in without_secrets(uri)


def test_an_address_shows_no_query():
    address = ORIGINS.check(f"https://media.example.com/a/b.mp4?{SECRET}", "video.uri")
    assert str(address) == "https://media.example.com/a/b.mp4"
    assert SECRET not in f"{address!r} {[address]}"


@pytest.mark.parametrize(
    ("path", "suffix"),
    [("/a/b.MP4", ".mp4"), ("/a", ""), ("", ""), ("/a.mp4/", ".mp4"), ("/a.m%2f4", ""), ("/x.verylong", "")],
)
def test_the_suffix_is_that_of_a_file_or_nothing(path, suffix):
    assert ORIGINS.check(f"https://media.example.com{path}?response=x.mov", "video.uri").suffix == suffix


@pytest.mark.parametrize(
    ("uri", "meant"),
    [("https://a/b", True), ("HTTP://a", True), (" https:/a", True), ("s3://https/a", False), ("file:///a", False)],
)
def test_what_is_meant_as_an_address(uri, meant):
    assert is_address(uri) is meant
