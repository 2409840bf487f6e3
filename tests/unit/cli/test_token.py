"""`seamline token`, and what the editor makes of it."""

from pathlib import Path

import pytest
from seamline_editor.clients import ClientGate
from typer.testing import CliRunner

from seamline.cli.app import app
from seamline.client.tokens import authorization, is_loopback
from seamline.errors import InvalidInput
from seamline.rpc.callers import Caller


def made(name: str) -> tuple[str, str]:
    """A token, and the lines that let it in."""
    done = CliRunner().invoke(app, ["token", name])
    assert done.exit_code == 0, done.output
    token, lines = done.stdout.split("\n", 1)
    return token, lines


def test_a_token_is_let_in_by_the_lines_that_come_with_it(tmp_path: Path) -> None:
    (token, lines), (other, _) = made("web-shop"), made("lab")
    path = tmp_path / "clients.toml"
    path.write_text(lines)
    ((key, value),) = authorization(token, "editor:50051", encrypted=True)
    assert ClientGate(path)(Caller(method="/a/b", authorization=[value])).client == "web-shop"
    assert (key, len(token) > 40, token in lines, token == other) == ("authorization", True, False, False)


@pytest.mark.parametrize("name", ["", "a b", "shop]", "a" * 65, "größe"])
def test_a_name_that_the_file_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a client's name"):
        CliRunner().invoke(app, ["token", name], catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", '"quoted"', "ü", "a=b"])
def test_what_is_no_token_is_not_sent_and_not_quoted(token: str) -> None:
    with pytest.raises(InvalidInput, match="characters that a token has not") as caught:
        authorization(token, "127.0.0.1:1", encrypted=True)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "own"),
    [
        ("127.0.0.1:50051", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("dns:///localhost:1", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", True),
        ("ipv6:[::1]:1", True),
        ("editor:50051", False),
        ("10.0.0.1:50051", False),
        ("127.0.0.1.example:1", False),
        ("localhost.example:1", False),
        ("dns:///editor.seamline:50051", False),
        ("dns://127.0.0.1/editor:50051", False),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("127.0.0.1:1@editor:2", False),
    ],
)
def test_a_token_travels_unencrypted_only_on_this_machine(
    endpoint: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEAMLINE_PLAINTEXT_TOKENS", raising=False)
    assert is_loopback(endpoint) is own
    if own:
        authorization("token", endpoint, encrypted=False)
        return
    with pytest.raises(InvalidInput, match=r"would travel to .* unencrypted: set SEAMLINE_TLS_CA"):
        authorization("token", endpoint, encrypted=False)
    monkeypatch.setenv("SEAMLINE_PLAINTEXT_TOKENS", "true")
    authorization("token", endpoint, encrypted=False)
