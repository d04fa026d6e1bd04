"""The storage of inputs and outputs: objects in S3, or files in a folder. Keys are relative to the place that was opened.

The guarantees of a job rest on two operations: :meth:`Storage.read` refuses an object that is not the one that was listed, and
:meth:`Storage.put_if_absent` never replaces anything and never leaves half an object.
"""

import io
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import msgspec

from .errors import InputError, JobError
from .job import S3

TEMPORARY = "_temporary"
"""Folder in a folder for files that are not complete yet; a local run empties it when it starts."""
ATTEMPTS = 6
"""Attempts of what botocore does not retry: an answer that breaks off, a conflict between two conditional writes."""


class Object(msgspec.Struct, frozen=True):
    """An object of a listing."""

    key: str
    size: int
    etag: str
    """Changes whenever the content does."""


class Storage(ABC):
    """A prefix of a bucket, or a folder."""

    url: str
    """Ends with a slash."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Object]:
        """The objects whose keys start with ``prefix``, in the order of their keys.

        Raises:
            JobError: the place does not exist or may not be listed.
        """

    @abstractmethod
    def find(self, key: str) -> Object | None:
        """The object with this key, if it exists."""

    @abstractmethod
    def read(self, key: str, start: int = 0, stop: int | None = None, etag: str | None = None) -> bytes:
        """The bytes from ``start`` to ``stop`` of an object, not empty.

        Raises:
            InputError: it does not exist, may not be read, or has another etag.
        """

    @abstractmethod
    def put_if_absent(self, key: str, body: bytes | BinaryIO) -> bool:
        """Write an object unless it exists. Returns whether it was written."""

    @abstractmethod
    def put(self, key: str, body: bytes) -> None:
        """Write an object, or replace it."""

    def open(self, key: str, size: int, etag: str | None = None) -> "RangeReader":
        """An object as a file that fetches what is read."""
        return RangeReader(self, key, size, etag)


class RangeReader(io.RawIOBase):
    """An object as a file that can be read and searched."""

    def __init__(self, storage: Storage, key: str, size: int, etag: str | None) -> None:
        self._storage, self._key, self._size, self._etag = storage, key, size, etag
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        stop = min(self._position + len(buffer), self._size)
        if stop <= self._position:
            return 0
        data = self._storage.read(self._key, self._position, stop, self._etag)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_storage(url: str) -> Storage:
    """The storage at ``s3://bucket/prefix`` or the path of a folder."""
    if url.startswith(S3):
        bucket, _, prefix = url.removeprefix(S3).partition("/")
        return Bucket(bucket, prefix)
    return Folder(Path(url))


def open_input(url: str) -> tuple[Storage, str]:
    """The storage that has the input ``url`` (as :func:`resolve_input` returns it), and the key of its one object, or empty."""
    parent, _, name = url.rpartition("/")
    return open_storage(f"{parent}/"), name


def resolve_input(url: str) -> str:
    """``url``, absolute, and with a slash at its end unless it is one object.

    Raises:
        JobError: a bucket does not exist or may not be read.
    """
    if not url.startswith(S3):
        path = Path(url).resolve()
        return str(path) if path.is_file() else f"{path}/"
    storage, name = open_input(url)
    is_key = url.count("/") > 2 and name
    if is_key and storage.find(name):
        return url
    return f"{url.rstrip('/')}/"


class Folder(Storage):
    """A folder of a file system that has hard links."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"{folder}/"

    def list(self, prefix: str = "") -> Iterator[Object]:
        start = self.folder / prefix.rpartition("/")[0]
        if prefix == "" and not start.is_dir():
            raise JobError(f"{start}: there is no such file or folder")
        paths = (Path(folder, name) for folder, _, names in os.walk(start) for name in names)
        keys = sorted(path.relative_to(self.folder).as_posix() for path in paths)
        for key in keys:
            if key.startswith(prefix) and (found := self.find(key)):
                yield found

    def find(self, key: str) -> Object | None:
        try:
            status = (self.folder / key).stat()
        except FileNotFoundError:
            return None
        return Object(key, status.st_size, _etag(status))

    def read(self, key: str, start: int = 0, stop: int | None = None, etag: str | None = None) -> bytes:
        path = self.folder / key
        try:
            with path.open("rb") as file:
                file.seek(start)
                data = file.read() if stop is None else file.read(stop - start)
                found = _etag(os.fstat(file.fileno()))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        if etag is not None and found != etag:
            raise _changed(path)
        return data

    def put_if_absent(self, key: str, body: bytes | BinaryIO) -> bool:
        temporary, path = self._written(body), self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        _sync_folder(path.parent)
        return True

    def put(self, key: str, body: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        self._written(body).rename(path)
        _sync_folder(path.parent)

    def _written(self, body: bytes | BinaryIO) -> Path:
        """A temporary file with ``body``, safe on the disk."""
        folder = self.folder / TEMPORARY
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, delete=False) as file:
            for block in [body] if isinstance(body, bytes) else iter(lambda: body.read(1 << 20), b""):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        return Path(file.name)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _changed(place: object) -> InputError:
    return InputError(f"{place}: changed since the plan of this run")


class Bucket(Storage):
    """A prefix of an S3 bucket, with the credentials and region of botocore's usual places."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        self.url = f"{S3}{bucket}/{self.prefix}"

    @cached_property
    def _s3(self):
        import botocore.session
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=64)
        return botocore.session.get_session().create_client("s3", config=config)

    def list(self, prefix: str = "") -> Iterator[Object]:
        return self._pages(prefix)

    def _pages(self, prefix: str, most: int = 1000) -> Iterator[Object]:
        """The objects of a listing in pages of ``most``."""
        from botocore.exceptions import BotoCoreError, ClientError

        request = {"Bucket": self.bucket, "Prefix": self.prefix + prefix, "MaxKeys": most}
        pages = self._s3.get_paginator("list_objects_v2").paginate(**request)
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    yield Object(item["Key"].removeprefix(self.prefix), item["Size"], item["ETag"])
        except (BotoCoreError, ClientError) as error:
            raise JobError(f"{self.url}{prefix}: cannot be listed ({error})") from error

    def find(self, key: str) -> Object | None:
        # A listing, since S3 answers HeadObject for a missing key with 403 where only a prefix of the bucket may be listed.
        found = next(self._pages(key, most=1), None)
        return found if found and found.key == key else None

    def read(self, key: str, start: int = 0, stop: int | None = None, etag: str | None = None) -> bytes:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            IncompleteReadError,
            ReadTimeoutError,
            ResponseStreamingError,
        )

        request = {"Bucket": self.bucket, "Key": self.prefix + key}
        if start or stop is not None:
            request["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        if etag is not None:
            request["IfMatch"] = etag
        for attempt in range(ATTEMPTS):
            try:
                return self._s3.get_object(**request)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                    raise _changed(f"{self.url}{key}") from error
                raise InputError(f"{self.url}{key}: cannot be read ({error})") from error
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError) as error:
                if attempt == ATTEMPTS - 1:
                    raise InputError(f"{self.url}{key}: cannot be read ({error})") from error
                time.sleep(0.1 * 2**attempt)
            except BotoCoreError as error:
                raise InputError(f"{self.url}{key}: cannot be read ({error})") from error
        raise AssertionError("the last attempt returns or raises")

    def put_if_absent(self, key: str, body: bytes | BinaryIO) -> bool:
        from botocore.exceptions import ClientError

        for attempt in range(ATTEMPTS):
            if not isinstance(body, bytes):
                body.seek(0)
            try:
                self._s3.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body, IfNoneMatch="*")
                return True
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in ("PreconditionFailed", "412"):
                    return False
                # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html: 409 is to be tried again.
                if code not in ("ConditionalRequestConflict", "409") or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body)
