"""The editor with presigned addresses of a real S3 server, of a bucket whose keys it does not have."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from minio import Minio

from seamline.errors import InvalidInput, NotFound
from seamline.storage import open_store, read_object
from tests.asynchronous import asynchronous
from tests.fakes.alignment import HEIGHT, WIDTH
from tests.fakes.bundle import tiny_bundle
from tests.integration.swift import ACCESS_KEY, SECRET_KEY, Swift, running_swift
from tests.integration.world import world_of
from tests.unit.video.films import film

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def swift() -> Iterator[Swift]:
    with running_swift() as server:
        yield server


@asynchronous
async def test_a_backend_signs_both_ends_and_shares_nothing_else(swift, tmp_path, monkeypatch):
    clip = film(tmp_path / "clip.mp4", count=10, size=(WIDTH, HEIGHT))
    tiny_bundle(tmp_path / "bundles")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    backend = Minio(swift.endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1")
    for bucket in ("backend", "seamline"):
        backend.make_bucket(bucket)
    backend.fput_object("backend", "in/my film.mp4", str(clip))
    fetch = backend.presigned_get_object("backend", "in/my film.mp4", expires=HOUR)
    send = backend.presigned_put_object("backend", "out/edited.mp4", expires=HOUR)
    url = swift.url("seamline")
    async with world_of(url, tmp_path / "bundles", fetch, url_origins=swift.endpoint) as world:
        result = (await world.edited(deliver_to=send))[-1]
        again = (await world.edited(deliver_to=send))[-1]
        with pytest.raises(InvalidInput, match="status 403; a presigned address holds for one method") as refused:
            await world.edited(deliver_to=fetch)
        assert refused.value.field == "deliver_to"
        assert "Signature" not in str(refused.value)
        world.video = backend.presigned_get_object("backend", "in/none.mp4", expires=HOUR)
        with pytest.raises(NotFound, match=r"in/none\.mp4 is not there") as missing:
            await world.edited()
        assert missing.value.field == "video.uri"
    store = open_store(url)
    assert read_object(store, result.source) == clip.read_bytes()
    edited = backend.get_object("backend", "out/edited.mp4")
    assert edited.read() == read_object(store, result.edited)
    assert edited.headers["content-type"] == "video/mp4"
    assert again.edited == result.edited
    assert "mux.encode" not in again.step_seconds
