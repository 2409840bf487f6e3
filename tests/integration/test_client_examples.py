"""The clients of examples/: what they send, and what they make of what an editor does."""

import signal

import pytest

from seamline.errors import NoFace, Overloaded, SeamlineError, ServiceUnavailable, UnknownEdit
from seamline.v1.editor_pb2 import EditVideoRequest
from seamline.v1.media_pb2 import ArtifactRef, Edit
from tests.asynchronous import asynchronous
from tests.certificates import Authority
from tests.clients import Ended, Program, end, run, started
from tests.fakes.editor import ScriptedEditor, scripted

VIDEO = "https://videos.example/in.mp4"
SMILE = ("--edit", "smile=2", VIDEO)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def answered(program: Program, editor: ScriptedEditor, *arguments: str) -> Ended:
    """What a client makes of an editor."""
    async with scripted(editor) as endpoint:
        return await run(program, endpoint, *(arguments or SMILE))


@asynchronous
async def test_a_client_sends_what_it_was_given_and_shows_what_comes(program: Program) -> None:
    editor = ScriptedEditor()
    delivered = "https://videos.example/out.mp4?X-Amz-Signature=0123"
    options = ("--edit", "smile=2", "--edit", "age=-1.5", "--bundle", "tiny-64", "--deliver-to", delivered)
    ended = await answered(program, editor, *options, VIDEO)
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
        ended = await run(program, endpoint, *SMILE, **trusted, token="secret-1")
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
    ended = await answered(program, editor)
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
    ended = await answered(program, editor)
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
        async with started(program, endpoint, *SMILE) as process:
            await editor.held.wait()
            process.send_signal(signal.SIGINT)
            ended = await end(process)
        await editor.cancelled.wait()
    assert ended.status == 130, ended.said
    assert "interrupted" in ended.said


@pytest.mark.parametrize("flag", [[], ["--edit", "smile=2"]], ids=["nothing", "no video"])
@asynchronous
async def test_a_client_says_what_its_command_line_lacks(program: Program, flag: list[str]) -> None:
    ended = await run(program, "127.0.0.1:1", *flag)
    assert ended.status == 2
    assert "video" in ended.said.lower()
    assert "Traceback" not in ended.said
