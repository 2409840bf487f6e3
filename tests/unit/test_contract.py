"""The generated code says what the protos say."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("grpc_tools", reason="the compiler comes with the dev extra")

ROOT = Path(__file__).resolve().parents[2]


def test_seamline_v1_is_what_the_protos_generate(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "protos/generate.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    generator.generate(tmp_path)
    fresh = {file.name: file.read_text() for file in (tmp_path / "seamline/v1").iterdir()}
    committed = {file.name: file.read_text() for file in (ROOT / "seamline/v1").glob("*.py*")}
    assert len(fresh) > 20
    assert sorted(fresh) == sorted(committed)
    stale = [name for name, text in fresh.items() if committed[name] != text]
    assert stale == [], "run python protos/generate.py"
