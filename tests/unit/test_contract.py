"""The generated code and the generated page say what the protos say."""

import importlib.util
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

protoc = pytest.importorskip("grpc_tools.protoc", reason="the compiler comes with the dev extra")

ROOT = Path(__file__).resolve().parents[2]
GOOGLES = {kind.DESCRIPTOR.name: kind for kind in (Status, ErrorInfo, BadRequest, RetryInfo)}


def program(name: str) -> Any:
    """A module of protos/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"protos/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_seamline_v1_is_what_the_protos_generate(tmp_path: Path) -> None:
    program("generate").generate(tmp_path)
    fresh = {file.name: file.read_text() for file in (tmp_path / "seamline/v1").iterdir()}
    committed = {file.name: file.read_text() for file in (ROOT / "seamline/v1").glob("*.py*")}
    assert len(fresh) > 20
    assert sorted(fresh) == sorted(committed)
    stale = [name for name, text in fresh.items() if committed[name] != text]
    assert stale == [], "run python protos/generate.py"


@pytest.fixture(scope="module")
def page() -> str:
    return program("reference").reference()


def test_docs_api_is_what_the_protos_say(page: str) -> None:
    assert (ROOT / "docs/api.md").read_text() == page, "run python protos/reference.py"


def test_docs_api_has_every_declaration_and_comment(page: str) -> None:
    """Against the text of the protos, not against what protoc made of it."""
    for proto in sorted((ROOT / "protos/seamline/v1").glob("*.proto")):
        text = proto.read_text()
        for name in re.findall(r"^(?:message|enum|service) (\w+)", text, re.MULTILINE):
            assert f"\n### {name}\n" in page
        for name in re.findall(r"^  rpc (\w+)", text, re.MULTILINE):
            assert re.search(rf"\n### \w+Service\.{name}\n", page)
        for name in re.findall(r"^ +[\w.<>, ]+ (\w+) = \d+;", text, re.MULTILINE):
            assert f"| `{name}` |" in page
        for line in re.findall(r"^ *// (.+)$", text, re.MULTILINE):
            assert line.strip() in page, proto.name


def test_the_part_of_googles_contract_in_the_typescript_client_is_googles(tmp_path: Path) -> None:
    """It is written down there for want of Google's own files: same names, numbers and types, fewer fields."""
    source = ROOT / "examples/typescript/proto"
    included = f"-I{resources.files('grpc_tools') / '_proto'}"
    out = tmp_path / "descriptors"
    assert protoc.main(["protoc", f"-I{source}", included, f"-o{out}", "google/rpc/status.proto"]) == 0
    (file,) = FileDescriptorSet.FromString(out.read_bytes()).file
    assert len(file.message_type) == 4
    for message in file.message_type:
        theirs = {field.name: field for field in GOOGLES[message.name].DESCRIPTOR.fields}
        for field in message.field:
            assert (field.number, field.type) == (theirs[field.name].number, theirs[field.name].type)
