"""The store in an S3-compatible bucket: AWS, Ceph RGW, Garage, SeaweedFS, ... The one user of `minio`."""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, parse_qs, urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.datatypes import ListMultipartUploadsResult, Upload
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import MinioException, S3Error
from minio.helpers import check_bucket_name

from seamline.errors import InvalidInput, NotFound, StoreUnavailable
from seamline.storage.atomic import atomic_write
from seamline.storage.entry import Entry
from seamline.storage.keys import check_key, check_prefix, is_key, named

CHUNK_BYTES = 1 << 20
PART_BYTES = 5 << 20
"""Larger objects go up in parts of this size, the smallest that S3 allows."""
RESUMES = 4
"""How often a download that breaks off is taken up again where it broke."""
CONNECT_SECONDS = 30.0
"""Until a request is sent, this limits it, and that for all of its body at once. So it must let a whole part through
on a slow line: 30 s for 5 MiB is 1.4 Mbit/s."""
ANSWER_SECONDS = 60.0
"""Longest silence while an answer is waited for or read."""
RETRIES = 5
"""How often a request is repeated that was not answered, or with a fault of the server's."""
BACKOFF_SECONDS = 0.2
"""Doubled with every retry after the first: a server that is away for six seconds is waited for."""

_MISSING = {"NoSuchKey", "NoSuchObject"}
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
        try:
            return cls._from_parts(urlsplit(url))
        except ValueError as error:
            raise InvalidInput(
                f"store URL {url!r} is not of the form s3://bucket/prefix?endpoint=http://host:port&region=name "
                f"({error})",
                url=url,
            ) from error

    @classmethod
    def _from_parts(cls, parts: SplitResult) -> "S3Store":
        """Raises ValueError with what is wrong."""
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=False).items()}
        region = options.pop("region", "us-east-1")
        endpoint = urlsplit(options.pop("endpoint", f"https://s3.{region}.amazonaws.com"))
        if options:
            raise ValueError(f"unknown: {', '.join(options)}")
        if endpoint.scheme not in ("http", "https") or not endpoint.netloc:
            raise ValueError("an endpoint starts with http:// or https://")
        check_bucket_name(parts.netloc)
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

    def list(self, prefix: str) -> Iterator[Entry]:
        start = self._prefix + check_prefix(prefix)
        with self._failures_named(prefix):
            for found in self._client.list_objects(self._bucket, prefix=start, recursive=True):
                key = str(found.object_name).removeprefix(self._prefix)
                if is_key(key) and found.last_modified is not None:
                    yield Entry(key=key, size=found.size or 0, modified=found.last_modified)

    def delete(self, keys: Iterable[str]) -> None:
        doomed = [DeleteObject(self._name(key)) for key in keys]
        with self._failures_named(""):
            for error in self._client.remove_objects(self._bucket, doomed):
                self._raise_refused(error)

    def discard(self, prefix: str, before: datetime | None = None) -> int:
        with self._failures_named(prefix):
            uploads = [
                upload
                for upload in self._uploads(self._prefix + check_prefix(prefix))
                if before is None or (upload.initiated_time is not None and upload.initiated_time < before)
            ]
            return sum(self._abort(upload.object_name, upload.upload_id or "") for upload in uploads)

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    def key(self, uri: str) -> str:
        base = f"s3://{self._bucket}/{self._prefix}"
        if not uri.startswith(base):
            raise InvalidInput(
                f"{named(uri)!r} is not in the store {base}; upload the object there first",
                field="uri",
                uri=named(uri),
                store=base,
            )
        return check_key(uri.removeprefix(base))

    def _uploads(self, start: str) -> Iterator[Upload]:
        """Uploads in parts that are under way, or were left, of objects whose names begin like this."""
        query: dict[str, str | list[str] | tuple[str]] = {"uploads": "", "prefix": start, "encoding-type": "url"}
        while True:
            # The client's own call sends an empty delimiter along, for which Swift answers with no upload at all.
            response = self._client._execute("GET", self._bucket, query_params=query)  # pyright: ignore[reportPrivateUsage]
            page = ListMultipartUploadsResult(response)
            if page.bucket_name is None:
                raise ValueError("what came is no list of uploads")
            yield from page.uploads
            if not page.is_truncated or not page.next_key_marker:
                return
            query["key-marker"] = page.next_key_marker

    def _abort(self, name: str, upload: str) -> bool:
        """Whether the upload was there to be ended."""
        try:
            self._client._abort_multipart_upload(self._bucket, name, upload)  # pyright: ignore[reportPrivateUsage]
        except S3Error as error:
            if error.code == "NoSuchUpload":  # its writer has finished it, or given up, in this moment
                return False
            raise
        return True

    def _raise_refused(self, error: DeleteError) -> None:
        """Raises what kept one of several objects from being deleted."""
        name = error.name or ""
        if error.code in _MISSING:
            return
        raise StoreUnavailable(
            f"bucket {self._bucket!r} at {self._endpoint} does not delete {name!r} ({error.code} {error.message}); "
            "check that its policy allows the credentials to, and that no lock keeps the object",
            endpoint=self._endpoint,
            bucket=self._bucket,
            key=name,
        )

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes. A connection that breaks is taken up at the byte where it broke."""
        name, offset, etag = self._name(key), 0, ""
        for attempt in range(RESUMES + 1):
            try:
                with self._failures_named(key), self._open(name, offset, etag) as response:
                    etag = response.headers.get("etag", "")
                    while chunk := response.read1(CHUNK_BYTES):  # what has come so far, so that nothing of it is lost
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
            if offset and response.status != 206:
                raise StoreUnavailable(
                    f"bucket {self._bucket!r} at {self._endpoint} broke off {name!r} at byte {offset} and does not "
                    "serve the rest alone: make what stands in between keep Range headers",
                    endpoint=self._endpoint,
                    bucket=self._bucket,
                    key=name,
                )
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
            if code in _MISSING:
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
        except (ParseError, ValueError) as error:
            raise StoreUnavailable(
                f"{place} does not answer as S3 does ({error}); check that the endpoint is one", **where
            ) from error


def http_pool() -> urllib3.PoolManager:
    """Connections that give up in the end, as the constants above say."""
    retries = urllib3.Retry(
        total=RETRIES,
        backoff_factor=BACKOFF_SECONDS,
        status_forcelist=[429, 500, 502, 503, 504],
        # By POST an upload is begun and completed and objects are deleted: all of that may be repeated.
        allowed_methods={*urllib3.Retry.DEFAULT_ALLOWED_METHODS, "POST"},
        # How long to wait is not for the server to say: it could hold a stage for hours.
        respect_retry_after_header=False,
    )
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS)
    return urllib3.PoolManager(maxsize=16, timeout=timeout, retries=retries)


def _credential(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise InvalidInput(f"an s3:// store needs the environment variable {name}", variable=name)
    return value
