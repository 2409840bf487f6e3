"""What a service reads from its environment."""

from pathlib import Path

import pytest

from seamline.rpc.config import ServerConfig


@pytest.fixture(autouse=True)
def _only_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("SEAMLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SEAMLINE_STORE", "file:///var/lib/seamline")


def test_every_setting_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAMLINE_PORT", "6000")
    monkeypatch.setenv("SEAMLINE_BUNDLES", "/bundles")
    monkeypatch.setenv("SEAMLINE_MAX_CONCURRENT_STAGES", "3")
    monkeypatch.setenv("SEAMLINE_DRAIN_SECONDS", "12.5")
    config = ServerConfig.read()
    assert (config.port, config.bundles_path, config.max_concurrent_stages, config.drain_seconds) == (
        6000,
        Path("/bundles"),
        3,
        12.5,
    )
    assert config.store == "file:///var/lib/seamline"


def test_variables_of_other_services_do_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAMLINE_ALIGNER", "aligner:50051")
    assert ServerConfig.read().port == 50051


def test_a_service_adds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class EditorConfig(ServerConfig):
        aligner: str

    with pytest.raises(SystemExit, match="SEAMLINE_ALIGNER: Field required"):
        EditorConfig.read()
    monkeypatch.setenv("SEAMLINE_ALIGNER", "aligner:50051")
    assert EditorConfig.read().aligner == "aligner:50051"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"),
        ("MAX_CONCURRENT_STAGES", "0"),
        ("DRAIN_SECONDS", "-1"),
        ("LOG_LEVEL", "loud"),
        ("TRITON", "triton"),
        ("TRITON", "http://triton:8000"),
        ("TRITON", "triton:8001/models"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SEAMLINE_{name}", value)
    with pytest.raises(SystemExit, match=f"SEAMLINE_{name}: "):
        ServerConfig.read()


@pytest.mark.parametrize("value", ["", "triton:8001", "grpcs://triton.gpu:8001", "dns:///triton:8001", "[::1]:8001"])
def test_triton_is_somewhere_or_nowhere(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAMLINE_TRITON", value)
    assert ServerConfig.read().triton == value


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ServerConfig.read().port = 1  # pyright: ignore[reportAttributeAccessIssue]
