"""The sealer: gives every object version of the store a date of its own, until which nobody can delete it.

versitygw 1.8.0 writes no date to an object that only the default retention of its bucket covers: it compares the rule's
own age instead, and whoever may set dates can still give such an object a short one (auth/object_lock.go there). So
writers get no permission to set dates, and this program sets them: `LastModified` plus the bucket's default retention,
in the default's mode, for each version as soon as it is written. A date that is there is never moved. Only where the
default is COMPLIANCE, one in GOVERNANCE becomes as firm: it was given by the terms before, in the moment they changed.

It learns of new objects from the store's access log. versitygw has a webhook for events too, but refuses to start while
nobody answers it (s3event/webhook.go): reading a backup must not depend on this program. What the log does not tell,
because it was cut, or because one of the two was dead, a sweep over all versions finds, at the start and every minute.

    sealer.py STORE_URL ACCESS_LOG HEALTH_SOCKET

with the administrator's keys in the environment. GET /health on the socket says 200 unless the last sweep failed or the
store stopped answering; while the first one is under way, it does once the store answers.
"""

from __future__ import annotations

import os
import re
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SWEEP = 60.0
"""Seconds between two sweeps; after a failure RETRY."""
RETRY = 1.0
LOOK = 0.2
"""Seconds between two looks at the access log."""
LARGEST_READ = 1 << 20

# Operation and request as the store logs them. Callers choose parts of the line: whatever may be the request counts.
WRITES = re.compile(r" s3_(?:PutObject|PostObject|CopyObject|CompleteMultipartUpload) ")
WRITTEN = re.compile(r" /([^ /]+)/?(\S*)(?= 200 )")
# Between the listing of a version and its date it may have been deleted, its time being over, and its bucket with it.
GONE = {"NoSuchKey", "NoSuchVersion", "NoSuchBucket"}


class Log:
    """The store's access log from now on; the supervisor may empty it at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = path.stat().st_size if path.exists() else 0

    def written(self) -> set[tuple[str, str]]:
        """Bucket and key of what was written since the last call; the key is empty where the log has none."""
        if not self.path.exists():
            return set()
        with self.path.open("rb") as log:
            if self.path.stat().st_size < self.position:
                self.position = 0
            log.seek(self.position)
            lines = log.read(LARGEST_READ).rpartition(b"\n")[0]
        self.position += len(lines) + 1 if lines else 0
        writes = (line for line in lines.decode(errors="replace").splitlines() if WRITES.search(line))
        found = (match for line in writes for match in WRITTEN.finditer(line))
        return {(match[1], unquote(match[2].partition("?")[0])) for match in found}


class Sealer:
    """Seals what was written, and says whether it can."""

    def __init__(self, store: Any, log: Log) -> None:
        self.store = store
        self.log = log
        self.sealed: set[tuple[str, str, str, str]] = set()
        self.problem: str | None = None
        self.next_sweep = 0.0
        self.moved = float("-inf")

    @property
    def well(self) -> bool:
        """Whether nothing failed last, and the store has answered since a sweep was due twice."""
        return not self.problem and time.monotonic() - self.moved < 2 * SWEEP

    def step(self) -> None:
        """Seal what the log tells, or everything when a sweep is due. A failure is noted, and tried again."""
        try:
            for bucket, key in self.log.written():
                self.seal(bucket, key)
            if time.monotonic() >= self.next_sweep:
                self.sweep()
                self._note("")
                self.next_sweep = time.monotonic() + SWEEP
        except (BotoCoreError, ClientError, OSError) as error:
            self._note(" ".join(str(error).split()))
            self.next_sweep = time.monotonic() + RETRY

    def sweep(self) -> None:
        """Seal every version of every bucket, and forget those that are gone. Raises the first failure at the end."""
        there: set[tuple[str, str, str, str]] = set()
        failures: list[Exception] = []
        for bucket in self.store.list_buckets()["Buckets"]:
            self.moved = time.monotonic()
            try:
                there |= self.seal(bucket["Name"])
            except (BotoCoreError, ClientError) as error:  # one bucket must not keep the others from being sealed
                failures.append(error)
        if failures:
            raise failures[0]
        self.sealed &= there
        self.moved = time.monotonic()

    def seal(self, bucket: str, prefix: str = "") -> set[tuple[str, str, str, str]]:
        """Seal the versions of a bucket whose keys begin so; what is there. Raises the first failure at the end.

        Sealed is bucket, key, version and mode: another mode of the bucket is looked at anew.
        """
        there: set[tuple[str, str, str, str]] = set()
        failures: list[Exception] = []
        try:
            retention = self._default(bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return there
            raise
        for version in self._versions(bucket, prefix) if retention else ():
            identity = (bucket, version["Key"], version["VersionId"], retention["Mode"])
            there.add(identity)
            self.moved = time.monotonic()
            try:
                if identity not in self.sealed and self._seal(identity, version["LastModified"], retention):
                    self.sealed.add(identity)
            except ClientError as error:
                if error.response["Error"]["Code"] not in GONE:
                    failures.append(error)
        if failures:
            raise failures[0]
        return there

    def _default(self, bucket: str) -> dict[str, Any]:
        """The default retention (Mode, Days or Years) of a bucket; empty when it has none, or one without a period."""
        try:
            lock = self.store.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ObjectLockConfigurationNotFoundError":
                return {}
            raise
        rule = dict(lock.get("Rule", {}).get("DefaultRetention", {}))
        return rule if rule.get("Days") or rule.get("Years") else {}

    def _versions(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self.store.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Versions", [])

    def _seal(self, identity: tuple[str, str, str, str], modified: datetime, retention: dict[str, Any]) -> bool:
        """Give the version a date, or the one it has its firm mode; whether neither was needed, or its time is over.

        One that is written over in the same moment moves to another file, perhaps without its new date: so a version
        counts as sealed only when the next sweep finds it so.
        """
        where = dict(zip(("Bucket", "Key", "VersionId"), identity[:3], strict=True))
        there = self._date(where)
        until = there["RetainUntilDate"] if there else retain_until(modified, retention)
        as_firm = bool(there) and there["Mode"] in {retention["Mode"], "COMPLIANCE"}
        if as_firm or until <= datetime.now(UTC):
            return True
        firm = {"BypassGovernanceRetention": True} if there else {}
        date = {"Mode": retention["Mode"], "RetainUntilDate": until}
        self.store.put_object_retention(**where, Retention=date, **firm)
        return False

    def _date(self, where: dict[str, str]) -> dict[str, Any]:
        """The version's own mode and date; empty while it has none."""
        try:
            return dict(self.store.get_object_retention(**where)["Retention"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchObjectLockConfiguration":
                return {}
            raise

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            print(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), problem or "sealed: all versions", flush=True)
        self.problem = problem


def retain_until(modified: datetime, retention: dict[str, Any]) -> datetime:
    """`modified` plus a default retention of Days or of calendar Years."""
    if days := retention.get("Days"):
        return modified + timedelta(days=days)
    year = modified.year + retention["Years"]
    try:
        return modified.replace(year=year)
    except ValueError:  # 29 February
        return modified.replace(year=year, month=3, day=1)


def client(address: str, environ: dict[str, str]) -> Any:
    """An S3 client with the administrator's keys; no proxy and no configuration of this user's applies."""
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=environ["ROOT_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["ROOT_SECRET_ACCESS_KEY"],
        config=Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=30,
            proxies={},
        ),
    )


def serve(sealer: Sealer, path: str) -> None:
    """Answer GET /health on a unix socket, from a thread of its own."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if sealer.well else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    Path(path).unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(path, Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(address: str, log: str, socket: str) -> None:
    """Seal until the process is ended; it may be at any moment, nothing is kept but in memory."""
    sealer = Sealer(client(address, dict(os.environ)), Log(Path(log)))
    serve(sealer, socket)
    while True:
        sealer.step()
        time.sleep(LOOK)


if __name__ == "__main__":
    main(*sys.argv[1:])
