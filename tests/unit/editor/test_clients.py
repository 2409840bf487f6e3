"""The file of clients, and whom it lets in; tests/integration/test_clients.py sends tokens over sockets."""

import hashlib
import re
import secrets
from pathlib import Path

import pytest
from seamline_editor.clients import ClientGate, read_clients

from seamline.errors import Forbidden, InvalidInput, QuotaExceeded, Unauthenticated
from seamline.rpc.callers import Caller

EDIT = "/seamline.v1.EditorService/EditVideo"
ERASE = "/seamline.v1.EditorService/Erase"
DIAGNOSE = "/seamline.v1.DiagnosticsService/Diagnose"


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def entry(name: str, *tokens: str, more: str = "") -> str:
    return f"[clients.{name}]\ntokens = {[digest(token) for token in tokens]}\n{more}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clients.toml"


def caller(*authorization: str, method: str = EDIT) -> Caller:
    return Caller(method=method, authorization=authorization)


def test_a_client_is_known_by_any_of_its_tokens(path: Path) -> None:
    path.write_text(entry("shop", "old", "new") + entry("lab-2", "other"))
    gate = ClientGate(path)
    names = [gate(caller(f"Bearer {token}")).client for token in ("old", "new", "other")]
    assert names == ["shop", "shop", "lab-2"]
    assert gate(caller("bearer  old ")).client == "shop"  # RFC 7235: the scheme's case does not matter


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        ((), "has no token"),
        (("Bearer",), "not one `Bearer`"),
        (("Bearer ",), "not one `Bearer`"),
        (("Basic bXk6b3du",), "not one `Bearer`"),
        (("mine",), "not one `Bearer`"),
        (("Bearer mine mine",), "not one `Bearer`"),
        (("Bearer mine", "Bearer mine"), "not one `Bearer`"),
        (("Bearer theirs",), "nobody has this token"),
        (("Bearer MINE",), "nobody has this token"),
        (("Bearer \udcff\udcfe",), "nobody has this token"),
        ((f"Bearer {digest('mine')}",), "nobody has this token"),  # who has read the file has no token
    ],
)
def test_whoever_shows_no_token_that_is_known_is_not_let_in(
    authorization: tuple[str, ...], said: str, path: Path
) -> None:
    path.write_text(entry("shop", "mine"))
    with pytest.raises(Unauthenticated, match=said) as caught:
        ClientGate(path)(caller(*authorization))
    assert "theirs" not in str(caught.value)


def test_erasing_and_diagnosing_are_for_those_who_may(path: Path) -> None:
    path.write_text(entry("shop", "a") + entry("privacy", "b", more='may = ["erase"]'))
    gate = ClientGate(path)
    assert gate(caller("Bearer b", method=ERASE)).client == "privacy"
    with pytest.raises(Forbidden, match=r'client shop may not erase: .* can add "erase"'):
        gate(caller("Bearer a", method=ERASE))
    with pytest.raises(Forbidden, match="client privacy may not diagnose"):
        gate(caller("Bearer b", method=DIAGNOSE))


def test_a_call_that_is_not_let_in_uses_nothing_of_the_quota(path: Path) -> None:
    path.write_text(entry("shop", "a", more="calls_per_hour = 1"))
    gate = ClientGate(path)
    with pytest.raises(Forbidden):
        gate(caller("Bearer a", method=ERASE))
    gate(caller("Bearer a"))
    with pytest.raises(QuotaExceeded, match="client shop may have 1 calls an hour"):
        gate(caller("Bearer a"))


def test_a_change_of_the_file_holds_from_the_next_call_on_and_forgets_no_usage(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(entry("shop", "old", more="calls_per_hour = 2"))
    gate = ClientGate(path)
    gate(caller("Bearer old"))
    path.write_text(entry("shop", "new", more="calls_per_hour = 2"))
    with pytest.raises(Unauthenticated):
        gate(caller("Bearer old"))
    gate(caller("Bearer new"))
    with pytest.raises(QuotaExceeded):
        gate(caller("Bearer new"))
    path.write_text("[clients.shop]\ntokens = []")
    with pytest.raises(QuotaExceeded):  # still known
        gate(caller("Bearer new"))
    assert "clients.shop.tokens" in caplog.text
    path.unlink()
    with pytest.raises(Unauthenticated):
        gate(caller("Bearer old"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "clients: Field required"),
        ("[clients]", "clients: Dictionary should have at least 1 item"),
        ("[clients.shop", "is not TOML"),
        ("[clients.shop]\nconcurrent_calls = 1", "clients.shop.tokens: Field required"),
        ("[clients.shop]\ntokens = []", "clients.shop.tokens: List should have at least 1 item"),
        ('[clients.shop]\ntokens = ["a-secret"]', r"clients.shop.tokens.0: String should match pattern"),
        ('[clients."shop 2"]\ntokens = []', r"clients.shop 2.\[key\]: String should match pattern"),
        (entry("shop", "a", more="calls_per_day = 3"), "clients.shop.calls_per_day: Extra inputs are not permitted"),
        (entry("shop", "a", more="calls_per_hour = 0"), "clients.shop.calls_per_hour: Input should be greater"),
        (entry("shop", "a", more='calls_per_hour = "9"'), "clients.shop.calls_per_hour: .*valid integer"),
        (entry("shop", "a", more="video_minutes_per_day = nan"), "clients.shop.video_minutes_per_day: .*"),
        (entry("shop", "a", more='may = ["everything"]'), r"clients.shop.may.*: Input should be 'erase' or 'diagnose'"),
        (entry("shop", "a") + entry("lab", "a"), "gives clients shop and lab the same token"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(text: str, said: str, path: Path) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInput, match=f"SEAMLINE_CLIENTS .*clients.toml .*{said}") as caught:
        read_clients(path)
    assert "a-secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_said(path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"clients\.toml cannot be read: No such file"):
        ClientGate(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is not TOML"):
        ClientGate(path)


def test_the_example_in_the_docs_can_be_read_and_as_it_stands_lets_nobody_in(path: Path) -> None:
    docs = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", docs, re.DOTALL)
    path.write_text(example)
    with pytest.raises(InvalidInput, match="tokens"):
        read_clients(path)
    path.write_text(re.sub("…", lambda _: secrets.token_hex(32), example))
    found = read_clients(path)
    assert found["shop"].calls_per_hour == 200
    assert found["privacy-desk"].may == {"erase"}
