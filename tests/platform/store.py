"""A store with its door and sealer and nothing else, under a supervisor of its own: these need no engine."""

from __future__ import annotations

import datetime
import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .machine import LOCAL, _environment, eventually

# What `up` does with these parts; in a process of its own, because the supervisor outlives it.
UP = """
import os, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from home import find_home, make_folders
from settings import load_settings, store_settings
from store import door_part, sealer_part, store_part
from up import _supervise
home = find_home(dict(os.environ))
make_folders(home)
settings = load_settings(home, dict(os.environ))
store_settings(home, settings)
command = [sys.executable, sys.argv[1], "supervise", str(home.root)]
_supervise(home, [store_part(home), door_part(home, settings), sealer_part(home, settings)], command)
"""
BUCKET = "backups"
DAYS = 30
WRITER = ("writer", "writers-secret")


class Store:
    """The two parts of a checkout in `folder`, on a free port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.environ = _environment({"STELE_HOME": str(folder), "STELE_STORE_PORT": str(self.port)})

    def up(self) -> None:
        done = subprocess.run([sys.executable, "-c", UP, str(LOCAL)], env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def local(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(LOCAL), *arguments], env=self.environ, capture_output=True, text=True
        )

    @functools.cached_property
    def env(self) -> dict[str, str]:
        pairs = (line.removeprefix("export ").partition("=") for line in self.local("env").stdout.splitlines())
        return {key: value.strip("'") for key, _, value in pairs}

    @property
    def keys_file(self) -> Path:
        return Path(self.env["STELE_STORE_ADMIN"])

    def keys(self) -> tuple[str, str]:
        """The administrator's access key and secret."""
        lines = dict(line.split("=") for line in self.keys_file.read_text().splitlines())
        return lines["ROOT_ACCESS_KEY_ID"], lines["ROOT_SECRET_ACCESS_KEY"]

    def client(self, access: str, secret: str) -> Any:
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={})
        return boto3.client(
            "s3",
            endpoint_url=self.env["STELE_STORE"],
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=config,
        )

    @property
    def admin(self) -> Any:
        return self.client(*self.keys())

    def writer(self) -> Any:
        """A user who may write into the bucket with a default retention, and not set any; both are made."""
        admin, keys = self.admin, self.keys()
        admin.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": DAYS}}
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        admin.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=lock)
        # Beside it, buckets that give the sealer nothing to do.
        admin.create_bucket(Bucket="plain")
        admin.create_bucket(Bucket="without-rule", ObjectLockEnabledForBucket=True)
        for bucket in ("plain", "without-rule"):
            admin.put_object(Bucket=bucket, Key="free", Body=b"1")
        names = {"ADMIN_ACCESS_KEY_ID": keys[0], "ADMIN_SECRET_ACCESS_KEY": keys[1]}
        command = ["versitygw", "admin", "--endpoint-url", self.env["STELE_STORE"], "create-user"]
        user = ["--access", WRITER[0], "--secret", WRITER[1], "--role", "user"]
        subprocess.run([*command, *user], env=self.environ | names, check=True, capture_output=True)
        allowed = {"Effect": "Allow", "Principal": {"AWS": [WRITER[0]]}}
        statements = [
            {**allowed, "Action": ["s3:PutObject", "s3:GetObject"], "Resource": [f"arn:aws:s3:::{BUCKET}/*"]},
            {**allowed, "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{BUCKET}"]},
        ]
        admin.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
        return self.client(*WRITER)

    def date(self, key: str, version: str) -> datetime.datetime | None:
        """Until when a version is retained by a date of its own."""
        try:
            answer = self.admin.get_object_retention(Bucket=BUCKET, Key=key, VersionId=version)["Retention"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchObjectLockConfiguration":
                return None
            raise
        assert answer["Mode"] == "COMPLIANCE"
        until: datetime.datetime = answer["RetainUntilDate"]
        return until

    def sealed(self, key: str, version: str) -> None:
        """Wait until a version has a date of its own, and see that it is the right one."""
        eventually(lambda: self.date(key, version) is not None, f"{key} is sealed")
        written = self.admin.head_object(Bucket=BUCKET, Key=key, VersionId=version)["LastModified"]
        until = self.date(key, version)
        assert until is not None
        # Dates in HTTP headers have whole seconds.
        assert abs(until - written - datetime.timedelta(days=DAYS)) < datetime.timedelta(seconds=2)

    def pid(self, part: str) -> int:
        return int(json.loads((Path(self.env["STELE_RUN"]) / f"{part}.json").read_text())["pid"])

    def killed(self, part: str, number: int) -> None:
        """Send a signal to a part, and wait for its successor."""
        before = self.pid(part)
        os.kill(before, number)
        eventually(lambda: self.pid(part) != before, f"{part} has a new process")
