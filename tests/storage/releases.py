"""What the tests of releases share: one release with a vanilla backup, and the command that `pulumi up` runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from components.bucket import Bucket
from components.manifest import digest_of, sha256
from tests.unit.releases import release

from .conftest import ROOT

TAR = b"what a new installation begins with"
VANILLA = {"vanilla": {"digest": sha256(TAR), "size": len(TAR)}}
CONTENT = release("1.0.0") | VANILLA
DIGEST = digest_of(CONTENT)
MANIFEST, BACKUP = "releases/orders/1.0.0/manifest.json", "releases/orders/1.0.0/vanilla.tar"


def vanilla(name: str) -> bytes:
    assert name == "vanilla"
    return TAR


def command(
    *arguments: str, vendor: Bucket | None = None, customer: Bucket | None = None, stdin: Any = None, key: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m components.release_store`, as the engine runs it."""
    accounts = {"STELE_VENDOR_ACCOUNT": vendor, "STELE_CUSTOMER_ACCOUNT": customer}
    env = (
        os.environ | {"STELE_BACKUP_KEY": key} | {name: bucket.to_json() for name, bucket in accounts.items() if bucket}
    )
    line = [sys.executable, "-m", "components.release_store", *arguments]
    return subprocess.run(line, cwd=ROOT, env=env, input=json.dumps(stdin), capture_output=True, text=True)


def every_version(bucket: Bucket) -> list[tuple[str, str]]:
    listed = bucket._s3.list_object_versions(Bucket=bucket.bucket)
    return [(each["Key"], each["VersionId"]) for each in listed.get("Versions", [])]
