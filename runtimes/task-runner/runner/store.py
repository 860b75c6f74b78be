"""The customer's WORM account, by rclone: the same calls for an S3 store and for Azure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from .files import size
from .log import log
from .mends import mended
from .problem import Problem
from .settings import secret
from .versions import Version, Versions

REMOTE = "store"
STALLED = 60  # seconds
LISTED = 300  # seconds for a list
_OF_AN_OBJECT = re.compile("InternalError|500 Internal Server Error|has sent nothing")  # of what lies on a bad disk
PATIENCE = ("--contimeout=10s", "--timeout=60s", "--retries=3", "--low-level-retries=3")
_PREFIX = re.compile(r"^(rclone: )?\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (ERROR|NOTICE|Failed to \w+) ?:? ?")


class Store:
    """One account. Every error is a Problem of one line."""

    def __init__(self, storage: dict[str, str]) -> None:
        self.endpoint, self.bucket = storage["endpoint"], storage["bucket"]
        self._env = os.environ | _remote(storage)
        self._versions: Versions | None = None
        if storage.get("backend") != "azure":
            keys = storage["access_key"], secret("storage-secret")
            self._versions = Versions(self.endpoint, self.bucket, *keys)

    @property
    def env(self) -> dict[str, str]:
        """For restic, which starts rclone by itself."""
        return self._env

    def _call(self, *words: str | Path, data: bytes | None = None, limit: float | None = None) -> bytes:
        command = ["rclone", *(str(word) for word in words), *PATIENCE]
        try:
            done = subprocess.run(command, env=self._env, input=data, capture_output=True, check=False, timeout=limit)
        except OSError as error:
            raise Problem(f"rclone does not start: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise Problem(f"{self.endpoint}, {self.bucket}: the store does not answer within {limit:g} s") from None
        if done.returncode:
            raise Problem(f"{self.endpoint}, {self.bucket}: {said(done.stderr)}")
        return done.stdout

    def url(self, key: str) -> str:
        return f"{REMOTE}:{self.bucket}/{key}"

    def list(self, prefix: str) -> list[dict[str, Any]]:
        """What is under a prefix: ``Path`` below it, ``Size``, ``ModTime`` (the store's)."""
        words = ["lsjson", "--recursive", "--files-only", "--no-mimetype", "--use-server-modtime"]
        found: list[dict[str, Any]] = json.loads(self._call(*words, self.url(prefix), limit=LISTED))
        return found

    def read(self, key: str) -> bytes:
        return self._call("cat", self.url(key))

    def write(self, key: str, content: bytes) -> None:
        """One whole object."""
        self._call("rcat", self.url(key), data=content)

    def versions(self, prefix: str) -> Sequence[Version]:
        """Every version of what is under a prefix, newest first for each key; without S3 only what is there."""
        if self._versions is not None:
            return [*self._versions.list(prefix)]
        found = self.list(prefix)
        return [Version(each["Path"], "", each["Size"], datetime.fromisoformat(each["ModTime"])) for each in found]

    def oldest(self, prefix: str) -> dict[str, Version]:
        """The first version of every key under a prefix: whoever may write cannot change what that is."""
        found: dict[str, Version] = {}
        for version in self.versions(prefix):
            known = found.setdefault(version.path, version)
            if version.written <= known.written:  # of one moment, the one that is listed later
                found[version.path] = version
        return found

    def read_version(self, prefix: str, version: Version) -> bytes:
        return self._versions.read(prefix, version) if self._versions else self.read(f"{prefix}/{version.path}")

    def fetch(self, prefix: str, paths: Iterable[str], folder: Path, *, largest: int) -> None:
        """Copy objects under a prefix into a folder. What is missing, cannot be read or has more than ``largest`` bytes
        is simply not there afterwards.

        Nor does rclone judge what it copies, or it would give up at a damaged object: the caller knows the digests, and
        may find an older version that is whole.
        """
        if not (asked := set(paths)):
            return
        there = [each["Path"] for each in self.list(prefix) if each["Path"] in asked and each["Size"] <= largest]
        if not there:
            return
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / ".wanted"
        wanted.write_text("".join(f"{path}\n" for path in there))
        # Without --no-traverse: rclone hangs when that meets errors (https://github.com/rclone/rclone/issues/7037).
        words = ["copy", "--transfers=8", "--ignore-checksum", "--ignore-size", f"--files-from-raw={wanted}"]
        try:
            self._copy([*words, self.url(prefix), str(folder)], folder)
        except Problem as problem:
            if not _OF_AN_OBJECT.search(str(problem)):
                raise
            self.list(prefix)  # raises if it is the store
            log(f"{problem}; what is not there is taken for lost")
        finally:
            wanted.unlink(missing_ok=True)

    def _copy(self, words: Sequence[str], folder: Path) -> None:
        """Copy into a folder as long as something arrives there: of a store that is gone, rclone asks for every single
        object, seconds apart."""
        with tempfile.TemporaryFile() as output:
            process = self._start([*words, *PATIENCE], output)
            try:
                arrived, since = -1, time.monotonic()
                while not _ended(process):
                    if (now := size(folder)) != arrived:
                        arrived, since = now, time.monotonic()
                    elif time.monotonic() - since > STALLED:
                        raise Problem(f"{self.endpoint}, {self.bucket}: the store has sent nothing for {STALLED} s")
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            if process.returncode:
                raise Problem(f"{self.endpoint}, {self.bucket}: {said(output.read())}")

    def _start(self, words: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(["rclone", *words], env=self._env, stdout=output, stderr=output)
        except OSError as error:
            raise Problem(f"rclone does not start: {error.strerror}") from None


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Within a second."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)
    return process.returncode is not None


def _remote(storage: dict[str, str]) -> dict[str, str]:
    """The account as rclone's environment."""
    values = _azure(storage) if storage.get("backend") == "azure" else _s3(storage)
    prefix = f"RCLONE_CONFIG_{REMOTE.upper()}_"
    return {"RCLONE_CONFIG": os.devnull} | {f"{prefix}{key.upper()}": value for key, value in values.items()}


def _s3(storage: dict[str, str]) -> dict[str, str]:
    values = {"type": "s3", "provider": "Other", "region": "us-east-1", "endpoint": storage["endpoint"]}
    values |= {"access_key_id": storage["access_key"], "secret_access_key": secret("storage-secret")}
    return values | {"no_check_bucket": "true", "force_path_style": "true"}


def _azure(storage: dict[str, str]) -> dict[str, str]:
    """By the host's managed identity. An emulator has none, nor a host of its own for an account: it is in the path."""
    address = urlsplit(storage["endpoint"])
    values = {"type": "azureblob", "no_check_container": "true"}
    if account := address.path.strip("/"):
        values |= {"account": account, "key": secret("storage-secret"), "use_emulator": "true"}
        return values | {"endpoint": storage["endpoint"]}
    account, _, suffix = (address.hostname or "").partition(".")
    return values | {
        "account": account,
        "endpoint": suffix,
        "use_msi": "true",
        "msi_client_id": secret("storage-secret"),
    }


def said(output: bytes) -> str:
    """What rclone or restic complained of, in one line, with the mend where there is one."""
    lines = [_PREFIX.sub("", line).strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return mended(" ".join(lines)) or next(
        (line for line in reversed(lines) if line.startswith("Fatal")), lines[-1] if lines else "no reason given"
    )


class Failed(Problem):
    """A program ended with that exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def run(command: Sequence[str | Path], env: dict[str, str], what: str, *, cwd: Path | None = None) -> bytes:
    """Run a program; Failed with what it said when it fails."""
    try:
        done = subprocess.run([str(word) for word in command], env=env, cwd=cwd, capture_output=True, check=False)
    except OSError as error:
        raise Problem(f"{what}: {command[0]} does not start: {error.strerror}") from None
    if done.returncode:
        raise Failed(f"{what}: {said(done.stderr or done.stdout)}", done.returncode)
    return done.stdout
