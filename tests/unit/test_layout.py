"""Who may import whom: read from the source, so that a breach shows here and not in a container."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
GRPC = ("grpc", "grpc_health", "grpc_reflection", "grpc_status")


class Import(NamedTuple):
    """One import statement's module."""

    file: str
    line: int
    module: str

    def of(self, *packages: str) -> bool:
        return any(self.module == package or self.module.startswith(f"{package}.") for package in packages)


def imports_of(file: Path) -> Iterator[Import]:
    """Every absolute module that a file imports, at any depth of its code."""
    name = str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else file.name
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(name, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import"
            yield Import(name, node.lineno, node.module or "")
            # `from seamline import networks` imports seamline.networks.
            yield from (Import(name, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no source under {folder}"
    return found


def services() -> dict[str, Path]:
    """The package of every service."""
    return {path.name: path for path in sorted(ROOT.glob("services/*/seamline_*")) if path.is_dir()}


def broken(sources: list[Path], *forbidden: str) -> list[Import]:
    return [found for file in sources for found in imports_of(file) if found.of(*forbidden)]


def test_the_library_imports_no_service_no_training_and_no_tests() -> None:
    assert broken(files("seamline"), *services(), "training", "tests", "bench") == []


@pytest.mark.parametrize("service", services())
def test_a_service_imports_no_other_service(service: str) -> None:
    sources = sorted(services()[service].rglob("*.py"))
    others = [other for other in services() if other != service]
    assert broken(sources, *others, "training", "tests", "bench") == []


@pytest.mark.parametrize("service", services())
def test_the_domain_code_of_a_service_sees_no_grpc(service: str) -> None:
    edge = ("servicer.py", "__main__.py")
    domain = [file for file in services()[service].rglob("*.py") if file.name not in edge]
    # The editor's domain is calling the other services.
    allowed = service == "seamline_editor"
    assert allowed or broken(domain, *GRPC) == []


def test_the_library_touches_grpc_only_at_its_edges() -> None:
    edges = ("rpc", "client", "v1", "cli")
    inner = [f for f in files("seamline") if f.relative_to(ROOT / "seamline").parts[0] not in edges]
    assert broken(inner, *GRPC) == []


def test_nothing_is_named_for_not_having_a_name() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "misc"}
    sources = [file for top in ("seamline", "services") for file in files(top)]
    assert [str(file) for file in sources if banned & {*file.parts[len(ROOT.parts) :], file.stem}] == []


def test_nothing_needs_torchvision() -> None:
    assert broken([*files("seamline"), *files("services")], "torchvision", "lpips") == []


def test_the_rules_see_every_form_of_import(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        "import seamline_editor.plan\n"
        "from seamline_editor import plan\n"
        "def later():\n    import training as t\n"
        "import seamline_editorial\n"
    )
    assert [found.line for found in broken([source], "seamline_editor", "training")] == [1, 2, 2, 4]
