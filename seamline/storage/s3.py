"""The store in an S3-compatible bucket: AWS, Ceph RGW, Garage, SeaweedFS, ... The one user of `minio`."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from seamline.errors import InvalidInput, NotFound, StoreUnavailable
from seamline.storage.atomic import atomic_write
from seamline.storage.keys import check_key, check_prefix

CHUNK_BYTES = 1 << 20
PART_BYTES = 5 << 20
"""Larger objects go up in parts of this size, the smallest that S3 allows."""
RESUMES = 4
"""How often a download that breaks off is taken up again where it broke."""

_REFUSED = {
    "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed", "RequestTimeTooSkewed",
}  # fmt: skip


class S3Store:
    """A `Store` in one bucket, below an optional prefix. Safe to use from several threads."""

    def __init__(self, client: Minio, *, endpoint: str, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._endpoint = endpoint
        self._bucket = bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""

    @classmethod
    def from_url(cls, url: str) -> "S3Store":
        """Opens `s3://bucket/prefix?endpoint=...&region=...` as `open_store` describes."""
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=False).items()}
        region = options.pop("region", "us-east-1")
        endpoint = urlsplit(options.pop("endpoint", f"https://s3.{region}.amazonaws.com"))
        if options or not parts.netloc or endpoint.scheme not in ("http", "https") or not endpoint.netloc:
            raise InvalidInput(
                f"store URL {url!r} is not of the form s3://bucket/prefix?endpoint=http://host:port&region=name",
                url=url,
            )
        client = Minio(
            endpoint.netloc,
            access_key=_credential("AWS_ACCESS_KEY_ID"),
            secret_key=_credential("AWS_SECRET_ACCESS_KEY"),
            session_token=os.environ.get("AWS_SESSION_TOKEN"),
            secure=endpoint.scheme == "https",
            region=region,
            http_client=http_pool(),
        )
        return cls(client, endpoint=endpoint.geturl(), bucket=parts.netloc, prefix=parts.path.strip("/"))

    def put(self, key: str, data: bytes) -> None:
        self._upload(key, io.BytesIO(data), len(data))

    def put_file(self, key: str, path: Path) -> None:
        if not path.is_file():
            raise InvalidInput(f"there is no file {path} to store as {key!r}", path=path, key=key)
        with path.open("rb") as file:
            self._upload(key, file, path.stat().st_size)

    def get(self, key: str) -> bytes:
        return b"".join(self._chunks(key))

    def get_file(self, key: str, path: Path) -> None:
        with atomic_write(path) as file:
            for chunk in self._chunks(key):
                file.write(chunk)

    def exists(self, key: str) -> bool:
        name = self._name(key)
        try:
            with self._failures_named(key):
                self._client.stat_object(self._bucket, name)
        except NotFound:
            return False
        return True

    def list(self, prefix: str) -> Iterator[str]:
        start = self._prefix + check_prefix(prefix)
        with self._failures_named(prefix):
            for entry in self._client.list_objects(self._bucket, prefix=start, recursive=True):
                yield str(entry.object_name).removeprefix(self._prefix)

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    def key(self, uri: str) -> str:
        base = f"s3://{self._bucket}/{self._prefix}"
        if not uri.startswith(base):
            raise InvalidInput(
                f"{uri!r} is not in the store {base}; upload the object there first",
                field="uri",
                uri=uri,
                store=base,
            )
        return check_key(uri.removeprefix(base))

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes. A connection that breaks is taken up at the byte where it broke."""
        name, offset, etag = self._name(key), 0, ""
        for attempt in range(RESUMES + 1):
            try:
                with self._failures_named(key), self._open(name, offset, etag) as response:
                    etag = response.headers.get("etag", "")
                    while chunk := response.read(CHUNK_BYTES):
                        offset += len(chunk)
                        yield chunk
                    return
            except StoreUnavailable as error:
                broken = isinstance(error.__cause__, urllib3.exceptions.HTTPError) and etag
                if not broken or attempt == RESUMES:
                    raise

    def _upload(self, key: str, data: BinaryIO, size: int) -> None:
        name = self._name(key)
        with self._failures_named(key):
            # One part at a time: the client reads ahead without bound for parallel ones.
            self._client.put_object(self._bucket, name, data, size, part_size=PART_BYTES, num_parallel_uploads=1)

    @contextmanager
    def _open(self, name: str, offset: int, etag: str) -> Iterator[urllib3.BaseHTTPResponse]:
        # If-Match: the rest of another version must not be glued to the beginning of this one.
        same: dict[str, str | list[str] | tuple[str]] = {"If-Match": etag} if etag else {}
        response = self._client.get_object(self._bucket, name, offset=offset, request_headers=same)
        try:
            yield response
        finally:
            response.close()
            response.release_conn()

    @contextmanager
    def _failures_named(self, key: str) -> Iterator[None]:
        where = {"endpoint": self._endpoint, "bucket": self._bucket, "key": self._prefix + key}
        place = f"bucket {self._bucket!r} at {self._endpoint}"
        try:
            yield
        except S3Error as error:
            code = error.code or ""
            if code in ("NoSuchKey", "NoSuchObject"):
                raise NotFound(f"there is no object {where['key']!r} in {place}", **where) from error
            if code == "NoSuchBucket":
                raise NotFound(
                    f"there is no {place}; create it, or name another in the store's URL", **where
                ) from error
            if code in _REFUSED:
                raise StoreUnavailable(
                    f"{place} refuses our credentials ({code}); check AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, the region, and what they may do",
                    **where,
                ) from error
            raise StoreUnavailable(f"{place} failed at {where['key']!r}: {code} {error.message}", **where) from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise StoreUnavailable(
                f"{place} does not answer ({error}); check that the endpoint is right and up", **where
            ) from error


def http_pool() -> urllib3.PoolManager:
    """Connections that give up: after 60 s without an answer, and after five tries 0.2, 0.4, ... s apart.

    Until a request is sent, the time to connect limits it, and that for all of the body at once. So it must
    let a whole part through on a slow line: 30 s for 5 MiB is 1.4 Mbit/s.
    """
    return urllib3.PoolManager(
        maxsize=16,
        timeout=urllib3.Timeout(connect=30, read=60),
        retries=urllib3.Retry(total=4, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
    )


def _credential(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise InvalidInput(f"an s3:// store needs the environment variable {name}", variable=name)
    return value
