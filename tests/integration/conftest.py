"""The clients of examples/, ready to run.

Python's runs as it is. The others are built first, from a copy of what a user has, as their README says.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients import Program
from tests.programs import installed

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = (
    "golang golang-google-grpc-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev "
    "protoc-gen-go protoc-gen-go-grpc"
)
"""What the Go client needs where no module proxy is reached: grpc-go and the generators, as Debian has them."""


@pytest.fixture(
    params=[
        "python",
        pytest.param("typescript", marks=pytest.mark.cluster),
        pytest.param("go", marks=pytest.mark.cluster),
    ]
)
def program(request: pytest.FixtureRequest) -> Program:
    """Each client in turn."""
    match request.param:
        case "typescript":
            return [installed("node", "nodejs"), str(request.getfixturevalue("typescript") / "dist/main.js")]
        case "go":
            return [str(request.getfixturevalue("go"))]
        case _:
            return [sys.executable, str(ROOT / "examples/python/backend.py")]


@pytest.fixture(scope="session")
def generators() -> str:
    """PATH with buf, which the repository's own package.json brings."""
    folder = ROOT / "node_modules/.bin"
    if not (folder / "buf").exists():
        pytest.fail("this test needs buf: npm install, in the repository's root", pytrace=False)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture(scope="session")
def typescript(generators: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built TypeScript client's folder."""
    npm = installed("npm", "nodejs npm")
    root = tmp_path_factory.mktemp("typescript")
    shutil.copytree(ROOT / "protos", root / "protos")
    folder = root / "examples/typescript"
    shutil.copytree(
        ROOT / "examples/typescript", folder, ignore=shutil.ignore_patterns("node_modules", "dist", "generated")
    )
    built([npm, "ci", "--no-audit", "--no-fund"], folder)
    built([npm, "run", "build"], folder, {"PATH": generators})
    return folder


@pytest.fixture(scope="session")
def go(generators: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built Go client: with Debian's libraries, which are older than what go.mod names, and outside of modules."""
    command, *_ = (installed(name, DEBIAN) for name in ("go", "protoc-gen-go", "protoc-gen-go-grpc"))
    if not Path("/usr/share/gocode/src/google.golang.org/grpc").is_dir():
        pytest.fail(f"this test needs grpc-go: apt-get install {DEBIAN}", pytrace=False)
    path = tmp_path_factory.mktemp("go")
    module = path / "src/seamline.dev"
    shutil.copytree(ROOT / "protos", module / "protos")
    folder = module / "examples/backend"
    shutil.copytree(ROOT / "examples/go", folder, ignore=shutil.ignore_patterns("seamlinev1"))
    environment = {"GO111MODULE": "off", "GOPATH": f"{path}:/usr/share/gocode", "PATH": generators}
    built([command, "generate"], folder, environment)
    built([command, "vet", "."], folder, environment)
    built([command, "build", "-o", "backend", "."], folder, environment)
    return folder / "backend"


def built(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    """Runs one step of a build; the test fails with what it said."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
