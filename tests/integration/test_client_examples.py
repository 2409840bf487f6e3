"""The clients of examples/, as programs: what they send, and what they make of what an editor does.

Python's is run as it is. The others are built first, from a copy of what a user has, as their README says.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from seamline.errors import NoFace, Overloaded, SeamlineError, ServiceUnavailable, UnknownEdit
from seamline.v1.editor_pb2 import EditVideoRequest
from seamline.v1.media_pb2 import ArtifactRef, Edit
from tests.asynchronous import asynchronous
from tests.certificates import Authority
from tests.fakes.editor import ScriptedEditor, scripted
from tests.programs import installed

ROOT = Path(__file__).resolve().parents[2]
VIDEO = "https://videos.example/in.mp4"
DEBIAN = (
    "golang golang-google-grpc-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev "
    "protoc-gen-go protoc-gen-go-grpc"
)
"""What the Go client needs where no module proxy is reached: grpc-go and the generators, as Debian has them."""

Program = list[str]
"""The start of a command line."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A program's exit status and what it wrote."""

    status: int
    out: str
    said: str

    @property
    def json(self) -> dict[str, object]:
        """The last line of what it wrote for programs: the result, or else the error."""
        return json.loads((self.out or self.said).splitlines()[-1])


def python() -> Program:
    return [sys.executable, str(ROOT / "examples/python/backend.py")]


@pytest.fixture(scope="module")
def generators() -> str:
    """PATH with buf, which the repository's own package.json brings."""
    folder = ROOT / "node_modules/.bin"
    if not (folder / "buf").exists():
        pytest.fail("this test needs buf: npm install, in the repository's root", pytrace=False)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
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
            return python()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def start(program: Program, endpoint: str, *arguments: str, **settings: object) -> asyncio.subprocess.Process:
    """A client at work, with settings from the environment; Seamline's own, not those of whoever runs the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SEAMLINE_")}
    given = {f"SEAMLINE_{name.upper()}": str(value) for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        env={**own, "SEAMLINE_EDITOR": endpoint, **given},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def end(process: asyncio.subprocess.Process) -> Ended:
    out, said = await process.communicate()
    assert process.returncode is not None
    return Ended(status=process.returncode, out=out.decode(), said=said.decode())


async def run(program: Program, editor: ScriptedEditor, *arguments: str) -> Ended:
    """A client's way to its end, with one edit if nothing is said."""
    async with scripted(editor) as endpoint:
        return await end(await start(program, endpoint, *(arguments or ("--edit", "smile=2", VIDEO))))


@asynchronous
async def test_a_client_sends_what_it_was_given_and_shows_what_comes(program: Program) -> None:
    editor = ScriptedEditor()
    delivered = "https://videos.example/out.mp4?X-Amz-Signature=0123"
    options = ("--edit", "smile=2", "--edit", "age=-1.5", "--bundle", "tiny-64", "--deliver-to", delivered)
    ended = await run(program, editor, *options, VIDEO)
    assert ended.status == 0, ended.said
    assert ended.json["edited"] == {"uri": "s3://videos/edited.mp4", "sha256": "e" * 64}
    assert "align detect 1/2 faces 1.000" in ended.said
    (request,) = editor.requests
    edits = [Edit(name="smile", strength=2), Edit(name="age", strength=-1.5)]
    video = ArtifactRef(uri=VIDEO)
    assert request == EditVideoRequest(video=video, bundle="tiny-64", edits=edits, deliver_to=delivered)


@asynchronous
async def test_a_client_shows_certificate_and_token(program: Program, authority: Authority) -> None:
    editor, shown, own = ScriptedEditor(), authority.issue("editor"), authority.issue("backend")
    serving = {"tls_certificate": str(shown.certificate), "tls_key": str(shown.key)}
    trusted = {"tls_ca": authority.certificate, "tls_certificate": own.certificate, "tls_key": own.key}
    async with scripted(editor, **serving, tls_client_ca=str(authority.certificate)) as endpoint:
        ended = await end(await start(program, endpoint, "--edit", "smile=2", VIDEO, **trusted, token="secret-1"))
    assert ended.status == 0, ended.said
    assert [sent["authorization"] for sent in editor.metadata] == ["Bearer secret-1"]
    assert "secret-1" not in ended.out + ended.said


def full(seconds: float) -> Overloaded:
    error = Overloaded("every replica is full")
    error.retry_seconds = seconds
    return error


@asynchronous
async def test_a_client_repeats_what_broke_or_found_no_room_with_the_same_request(program: Program) -> None:
    editor = ScriptedEditor(ServiceUnavailable("the aligner is gone"), full(0.01), full(0.01))
    ended = await run(program, editor)
    assert ended.status == 0, ended.said
    assert len(editor.requests) == 4
    assert all(request == editor.requests[0] for request in editor.requests)
    assert len({sent["x-request-id"] for sent in editor.metadata}) == 1


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (UnknownEdit("the bundle has no edit grin; it has smile", field="edits[0].name"), "UnknownEdit UNKNOWN_EDIT"),
        (NoFace("no frame shows a face"), "NoFace NO_FACE"),
    ],
    ids=["field", "no field"],
)
@asynchronous
async def test_a_client_says_what_was_rejected_and_does_not_repeat_it(
    program: Program, error: SeamlineError, named: str
) -> None:
    editor = ScriptedEditor(error)
    ended = await run(program, editor)
    assert ended.status == 2, ended.said
    assert len(editor.requests) == 1
    said = ended.json
    assert said["message"] == str(error)
    assert said["field"] == error.field
    assert said.get("reason", said.get("error")) in named.split()


@asynchronous
async def test_a_client_that_is_interrupted_cancels_its_call(program: Program) -> None:
    editor = ScriptedEditor(hold=True)
    async with scripted(editor) as endpoint:
        process = await start(program, endpoint, "--edit", "smile=2", VIDEO)
        await editor.held.wait()
        process.send_signal(signal.SIGINT)
        ended = await end(process)
        await editor.cancelled.wait()
    assert ended.status == 130, ended.said
    assert "interrupted" in ended.said


@pytest.mark.parametrize("flag", [[], ["--edit", "smile=2"]], ids=["nothing", "no video"])
@asynchronous
async def test_a_client_says_what_its_command_line_lacks(program: Program, flag: list[str]) -> None:
    ended = await end(await start(program, "127.0.0.1:1", *flag))
    assert ended.status == 2
    assert "video" in ended.said.lower()
    assert "Traceback" not in ended.said
