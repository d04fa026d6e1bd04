"""Reads what a job has written: below a prefix of a bucket, or in a folder."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .aws import client, explained
from .errors import CommandError

S3 = "s3://"


class Place:
    """An output."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.is_s3 = url.startswith(S3)
        self._bucket, _, prefix = self.url.removeprefix(S3).partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with ``prefix``, which is a folder's name and a slash, sorted.

        Raises:
            CommandError: the bucket does not exist or may not be listed.
        """
        if not self.is_s3:
            folder = Path(self.url)
            return sorted(path.relative_to(folder).as_posix() for path in (folder / prefix).rglob("*"))
        with explained(f"list {self.url}/{prefix}"):
            pages = client("s3").get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
            return [each["Key"].removeprefix(self._prefix) for page in found for each in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """An object.

        Raises:
            CommandError: it does not exist or may not be read.
        """
        if not self.is_s3:
            try:
                return Path(self.url, key).read_bytes()
            except OSError as error:
                raise CommandError(f"{self.url}/{key}: {error.strerror}") from None
        with explained(f"read {self.url}/{key}"):
            return client("s3").get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"].read()

    def last_run(self) -> dict | None:
        """The record of the last run, ``owner`` and ``started``, with its ``folder``; None if no run has begun."""
        records = [key for key in self.keys("_runs/") if key.endswith("/run.json")]
        if not records:
            return None
        return json.loads(self.read(records[-1])) | {"folder": records[-1].removesuffix("run.json")}

    def row_errors(self) -> Iterator[dict]:
        """The rows that could not be embedded: ``source``, ``position``, ``id`` if it has one, and ``reason``.

        Errors without their part are of a split that was not finished: its rows are tried again.
        """
        parts = {key.removeprefix("data/").removesuffix(".parquet") for key in self.keys("data/")}
        for key in self.keys("errors/"):
            if key.removeprefix("errors/").removesuffix(".jsonl") in parts:
                yield from map(json.loads, self.read(key).splitlines())

    def split_errors(self) -> Iterator[dict]:
        """The splits of the last run that failed: ``split``, ``sources``, and ``reason``."""
        run = self.last_run()
        for key in self.keys(run["folder"]) if run else ():
            if key.rpartition("/")[2].startswith("FAILED_"):
                for child in json.loads(self.read(key)):
                    split = json.loads(child["Input"])["split"]
                    sources = [piece["key"] for piece in split["pieces"]]
                    yield {"split": split["part"], "sources": sources, "reason": reason(child)}

    def progress(self) -> tuple[int, int] | None:
        """How many splits of the last run that was planned are done, and how many it has; None if none was planned."""
        manifests = [key for key in self.keys("_runs/") if key.endswith("/manifest.jsonl")]
        if not manifests:
            return None
        lines = self.read(manifests[-1]).splitlines()
        parts = set(self.keys("data/"))
        return sum(f"data/part-{json.loads(line)['part']}.parquet" in parts for line in lines), len(lines)


def reason(failed: dict) -> str:
    """Why an execution failed, from its error and its cause; that of a Lambda function is JSON."""
    error, cause = (failed.get(name) or failed.get(name.capitalize()) or "" for name in ("error", "cause"))
    with suppress(ValueError, KeyError, TypeError):
        cause = json.loads(cause)["errorMessage"]
    return f"{error}: {cause}" if error and cause else error or cause or "no reason was given"
