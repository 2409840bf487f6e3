"""What is said of wrong settings of TLS; tests/integration/test_tls.py connects."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from seamline.errors import InvalidInput
from seamline.rpc.reloaded import Reloaded
from seamline.rpc.tls import Tls
from tests.certificates import Authority, Key


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_nothing_set_is_plaintext() -> None:
    assert Tls().server_credentials() is None
    assert Tls().channel_credentials().get() is None
    assert Tls().validity() is None


def test_the_environment_names_the_files_of_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CERTIFICATE", "KEY", "CA", "CLIENT_CA"):
        monkeypatch.setenv(f"SEAMLINE_TLS_{name}", f"/{name}")
    assert Tls.from_environment() == Tls(certificate="/CERTIFICATE", key="/KEY", ca="/CA")


def test_the_end_of_a_certificate_is_known(authority: Authority) -> None:
    issued = authority.issue("known", ends_in=timedelta(hours=3))
    validity = Tls(certificate=str(issued.certificate)).validity()
    assert validity is not None
    assert abs(validity[1] - datetime.now(UTC) - timedelta(hours=3)) < timedelta(minutes=1)


FAULTS = (
    "a certificate without key",
    "a key without certificate",
    "client authorities without certificate",
    "no file",
    "a directory",
    "an empty file",
    "the two swapped",
    "the certificate as key",
    "another's key",
    "an encrypted key",
    "an expired certificate",
    "expired authorities",
    "a key for authorities",
)


def wrong_settings(authority: Authority, directory: Path) -> dict[str, tuple[Tls, str]]:
    """Settings with what is wrong with them, and what is to be said of it."""
    good, second = authority.issue("good"), authority.issue("second")
    expired = authority.issue("expired", ends_in=timedelta(hours=-1))
    locked = authority.issue("locked", password="secret")
    (directory / "empty").write_bytes(b"")
    certificate, key, ca = str(good.certificate), str(good.key), str(authority.certificate)
    return {
        "a certificate without key": (Tls(certificate=certificate), "SEAMLINE_TLS_KEY is not: set both"),
        "a key without certificate": (Tls(key=key), "SEAMLINE_TLS_CERTIFICATE is not: set both"),
        "client authorities without certificate": (Tls(client_ca=ca), "SEAMLINE_TLS_CERTIFICATE is not: set both"),
        "no file": (Tls(certificate="/nowhere.crt", key=key), "SEAMLINE_TLS_CERTIFICATE /nowhere.crt cannot be read"),
        "a directory": (Tls(certificate=certificate, key=str(directory)), "SEAMLINE_TLS_KEY .* cannot be read"),
        "an empty file": (Tls(certificate=str(directory / "empty"), key=key), "holds no certificate in PEM"),
        "the two swapped": (Tls(certificate=key, key=certificate), "CERTIFICATE .* holds no certificate in PEM"),
        "the certificate as key": (Tls(certificate=certificate, key=certificate), "is it the certificate"),
        "another's key": (Tls(certificate=certificate, key=str(second.key)), "is not the key of"),
        "an encrypted key": (
            Tls(certificate=str(locked.certificate), key=str(locked.key)),
            "is encrypted, and a service has nobody to ask",
        ),
        "an expired certificate": (
            Tls(certificate=str(expired.certificate), key=str(expired.key)),
            "SEAMLINE_TLS_CERTIFICATE .* expired at .*: renew it",
        ),
        "expired authorities": (
            Tls(certificate=certificate, key=key, client_ca=str(expired.certificate)),
            "SEAMLINE_TLS_CLIENT_CA .* expired at",
        ),
        "a key for authorities": (
            Tls(certificate=certificate, key=key, client_ca=key),
            "SEAMLINE_TLS_CLIENT_CA .* holds no certificate",
        ),
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_setting_names_its_variable_and_what_to_do(fault: str, authority: Authority, tmp_path: Path) -> None:
    tls, said = wrong_settings(authority, tmp_path)[fault]
    with pytest.raises(InvalidInput, match=said) as caught:
        tls.server_credentials()
    assert caught.value.field.startswith("SEAMLINE_TLS_")


def test_every_wrong_setting_is_tried(authority: Authority, tmp_path: Path) -> None:
    assert set(wrong_settings(authority, tmp_path)) == set(FAULTS)


def test_a_caller_is_told_of_its_authorities_and_its_certificate(authority: Authority) -> None:
    with pytest.raises(InvalidInput, match="SEAMLINE_TLS_CA /nowhere cannot be read"):
        Tls(ca="/nowhere").channel_credentials()
    issued = authority.issue()
    with pytest.raises(InvalidInput, match="SEAMLINE_TLS_KEY is not: set both"):
        Tls(ca=str(authority.certificate), certificate=str(issued.certificate)).channel_credentials()


def test_an_error_quotes_nothing_of_a_key(authority: Authority, tmp_path: Path) -> None:
    issued, broken = authority.issue(), tmp_path / "broken.key"
    text = issued.key.read_text()
    broken.write_text(text[:80] + text[90:])
    with pytest.raises(InvalidInput) as caught:
        Tls(certificate=str(issued.certificate), key=str(broken)).server_credentials()
    assert text.splitlines()[1][:12] not in str(caught.value)


def test_files_are_read_again_only_when_they_change_and_a_fault_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, reads = tmp_path / "file", []

    def load() -> str:
        reads.append(path.read_text())
        if reads[-1] == "wrong":
            raise InvalidInput(f"{path} is wrong")
        return reads[-1]

    path.write_text("one")
    reloaded = Reloaded([path], load)
    assert (reloaded.get(), reloaded.get(), reads) == ("one", "one", ["one"])
    path.write_text("wrong")
    assert (reloaded.get(), reloaded.get(), reads[1:]) == ("one", "one", ["wrong"])
    assert "is wrong; what it said before stays" in caplog.text
    path.write_text("three")
    assert reloaded.get() == "three"
    path.rename(tmp_path / "another")
    (tmp_path / "link").symlink_to("another")
    linked = Reloaded([tmp_path / "link"], lambda: (tmp_path / "link").read_text())
    (tmp_path / "next").write_text("THREE")
    (tmp_path / "moved").symlink_to("next")
    (tmp_path / "moved").replace(tmp_path / "link")  # as Kubernetes renews a mounted secret
    assert linked.get() == "THREE"


@pytest.mark.parametrize(
    ("make", "usable"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), True),
        (lambda: rsa.generate_private_key(65537, 2048), True),
        (lambda: rsa.generate_private_key(65537, 1024), False),
        (lambda: ec.generate_private_key(ec.SECP521R1()), False),
        (lambda: ec.generate_private_key(ec.SECP256K1()), False),
        (ed25519.Ed25519PrivateKey.generate, False),
    ],
    ids=["P-384", "RSA 2048", "RSA 1024", "P-521", "secp256k1", "Ed25519"],
)
def test_a_key_with_which_nobody_could_connect_is_refused(
    make: Callable[[], Key], usable: bool, authority: Authority
) -> None:
    issued = authority.issue("kind", key=make())
    tls = Tls(certificate=str(issued.certificate), key=str(issued.key))
    if usable:
        assert tls.server_credentials() is not None
        return
    with pytest.raises(InvalidInput, match="of a kind that gRPC does not take, or too short: make an ECDSA key"):
        tls.server_credentials()
