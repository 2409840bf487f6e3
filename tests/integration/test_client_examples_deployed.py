"""The clients of examples/ against the five services, with an S3 server's presigned addresses, mTLS and tokens."""

import asyncio
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from minio import Minio

from seamline.deployment import Deployment
from seamline.video import probe
from tests.certificates import Authority, Issued
from tests.clients import Program, run
from tests.e2e.clips import cut
from tests.integration.swift import ACCESS_KEY, SECRET_KEY, running_swift

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 6
STORE, UPLOADS = "store", "uploads"
"""Buckets: the services' own, and the backend's, of which the services have no reference but addresses."""


@dataclass(frozen=True, kw_only=True)
class System:
    """What a backend has to do with."""

    editor: str
    authority: Authority
    own: Issued
    token: str
    uploads: Minio

    @property
    def trusted(self) -> dict[str, object]:
        """A client's settings, but for the token."""
        return {
            "tls_ca": self.authority.certificate,
            "tls_certificate": self.own.certificate,
            "tls_key": self.own.key,
        }

    def addresses(self, name: str) -> tuple[str, str]:
        """Where the video is to be had, and where the edited one is to go."""
        hour = timedelta(hours=1)
        return (
            self.uploads.presigned_get_object(UPLOADS, "in.mp4", expires=hour),
            self.uploads.presigned_put_object(UPLOADS, name, expires=hour),
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    authority = Authority(folder / "authority")
    service, own = authority.issue("service"), authority.issue("backend")
    token, entry = new_token("shop")
    (folder / "clients.toml").write_text(entry)
    with running_swift() as swift:
        uploads = Minio(
            swift.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1"
        )
        for bucket in (STORE, UPLOADS):
            uploads.make_bucket(bucket)
        uploads.fput_object(UPLOADS, "in.mp4", str(cut(folder / "in.mp4", FRAMES)))
        environment = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "SEAMLINE_TLS_CERTIFICATE": str(service.certificate),
            "SEAMLINE_TLS_KEY": str(service.key),
            "SEAMLINE_TLS_CLIENT_CA": str(authority.certificate),
            "SEAMLINE_TLS_CA": str(authority.certificate),
            "SEAMLINE_CLIENTS": str(folder / "clients.toml"),
            "SEAMLINE_URL_ORIGINS": swift.endpoint,
            "SEAMLINE_BUNDLES": str(quick_bundle(folder)),
            "SEAMLINE_DRAIN_SECONDS": "2",
        }
        with Deployment(folder / "services", store=swift.url(STORE), environment=environment) as deployment:
            editor = deployment.endpoint("editor")
            yield System(editor=editor, authority=authority, own=own, token=token, uploads=uploads)


def quick_bundle(folder: Path) -> Path:
    """A directory with avatar-256, in whose defaults nothing is tuned for long: clients set no options."""
    given, made = ROOT / "bundles/avatar-256", folder / "bundles/avatar-256"
    made.mkdir(parents=True)
    for file in given.glob("*.safetensors"):
        (made / file.name).symlink_to(file)
    text, count = re.subn(r"^max_(passes|steps) = \d+$", r"max_\1 = 1", (given / "bundle.toml").read_text(), flags=re.M)
    assert count == 2
    (made / "bundle.toml").write_text(text)
    return made.parent


def new_token(name: str) -> tuple[str, str]:
    """A token, and its entry among the editor's clients."""
    command = [str(Path(sys.executable).with_name("seamline")), "token", name]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    token, _, entry = made.stdout.strip().partition("\n")
    return token, entry


def test_a_token_that_is_not_known_is_rejected(program: Program, system: System) -> None:
    given, _ = system.addresses("never.mp4")
    arguments = ("--edit", "smile=2", given)
    ended = asyncio.run(run(program, system.editor, *arguments, **system.trusted, token="seamline_wrong"))
    assert ended.status == 2, ended.said
    assert {ended.json.get("reason"), ended.json.get("error")} & {"UNAUTHENTICATED", "Unauthenticated"}
    assert "seamline_wrong" not in ended.out + ended.said


def test_a_video_goes_from_one_address_to_another(program: Program, system: System, tmp_path: Path) -> None:
    name = f"{tmp_path.name}.mp4"
    given, wanted = system.addresses(name)
    arguments = ("--edit", "smile=2", "--deliver-to", wanted, given)
    ended = asyncio.run(run(program, system.editor, *arguments, **system.trusted, token=system.token))
    assert ended.status == 0, ended.said
    system.uploads.fget_object(UPLOADS, name, str(tmp_path / "edited.mp4"))
    edited = ended.json["edited"]
    assert isinstance(edited, dict)
    assert hashlib.sha256((tmp_path / "edited.mp4").read_bytes()).hexdigest() == edited["sha256"]
    facts = probe(tmp_path / "edited.mp4")
    assert (facts.frame_count, facts.has_audio) == (FRAMES, True)
    assert all(f"{stage} " in ended.said for stage in ("fetch", "align", "invert", "stitch", "score", "mux", "deliver"))
    assert "X-Amz-Signature" not in ended.out + ended.said
