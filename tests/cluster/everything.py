"""All that a cluster has, as processes on loopback: S3, Triton, Prometheus, five services with mTLS, two stitchers."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from minio import Minio

from seamline.client import Client
from seamline.deployment import Deployment
from seamline.rpc.tls import Tls
from seamline.storage import Store, open_store
from seamline.v1.editor_pb2 import EditVideoResult
from seamline.v1.media_pb2 import ArtifactRef, Progress
from tests.certificates import Authority
from tests.integration import triton as triton_server
from tests.integration.prometheus import Prometheus, prometheus
from tests.integration.swift import ACCESS_KEY, SECRET_KEY, Swift, running_swift
from tests.integration.triton import Triton, python_repository, running_triton

BUCKET = "seamline"
TOKEN = "of-the-shop"
CLIENTS = f"""
[clients.shop]
tokens = ["{hashlib.sha256(TOKEN.encode()).hexdigest()}"]
concurrent_calls = 2
may = ["erase", "diagnose"]
"""
LASTS = timedelta(days=90)
"""Certificates: one that ends soon is reported."""
MODELS = (*triton_server.MODELS, "latent_transformer")
"""All that a stage may ask."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What runs."""

    swift: Swift
    triton: Triton
    deployment: Deployment
    prometheus: Prometheus
    store: Store
    url: str
    tls: Tls
    """What a client shows and trusts."""

    @property
    def client(self) -> Client:
        return Client(self.deployment.endpoint("editor"), tls=self.tls, token=TOKEN)

    def edit(
        self,
        video: ArtifactRef,
        edits: Mapping[str, float],
        on_progress: Callable[[Progress], None] = lambda progress: None,
        **options: Any,
    ) -> EditVideoResult:
        """Runs an edit to its end."""

        async def run() -> EditVideoResult:
            async with self.client as client:
                async for event in client.edit_video(video, edits, timeout=1500, **options):
                    if not isinstance(event, Progress):
                        return event
                    on_progress(event)
            raise AssertionError("the stream ended without a result")

        return asyncio.run(run())

    def erase(self, video: ArtifactRef, *, keep_source: bool = False) -> int:
        """Removes what was made of a video; how many objects that was."""

        async def run() -> int:
            async with self.client as client:
                return (await client.erase(video, keep_source=keep_source)).objects

        return asyncio.run(run())


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Starts everything and stops it, and only it, in the end."""
    with ExitStack() as stack:
        before = {name: os.environ.get(name) for name in CREDENTIALS}
        stack.callback(_set, before)
        _set(CREDENTIALS)
        swift = stack.enter_context(running_swift())
        Minio(swift.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False).make_bucket(BUCKET)
        triton = stack.enter_context(
            running_triton(python_repository(folder / "models", models=MODELS), folder / "triton.log")
        )
        authority = Authority(folder / "certificates")
        environment = {
            "SEAMLINE_TRITON": triton.endpoint,
            "SEAMLINE_DRAIN_SECONDS": "5",
            "SEAMLINE_THREADS": "1",
            **_secured(folder, authority),
        }
        url = swift.url(BUCKET)
        services = Deployment(folder / "services", store=url, environment=environment, replicas={"stitcher": 2})
        deployment = stack.enter_context(services)
        targets = [(service.stage, service.metrics_port) for service in deployment.services.values()]
        shown = authority.issue("backend", ends_in=LASTS)
        yield Cluster(
            swift=swift,
            triton=triton,
            deployment=deployment,
            prometheus=stack.enter_context(prometheus(folder / "prometheus", targets)),
            store=open_store(url),
            url=url,
            tls=Tls(ca=str(authority.certificate), certificate=str(shown.certificate), key=str(shown.key)),
        )


def _secured(folder: Path, authority: Authority) -> dict[str, str]:
    """The services' settings: each shows a certificate, wants one of its callers, and the editor a token as well."""
    own, clients = authority.issue("service", ends_in=LASTS), folder / "clients.toml"
    clients.write_text(CLIENTS)
    return {
        "SEAMLINE_TLS_CERTIFICATE": str(own.certificate),
        "SEAMLINE_TLS_KEY": str(own.key),
        "SEAMLINE_TLS_CLIENT_CA": str(authority.certificate),
        "SEAMLINE_TLS_CA": str(authority.certificate),
        "SEAMLINE_CLIENTS": str(clients),
    }


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
