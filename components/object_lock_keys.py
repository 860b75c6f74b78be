"""How an S3 object-lock store is reached, and what a customer's keys may do there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from components.storage_settings import LOCK_FILES

REGION = "us-east-1"
TIMEOUT = 10  # seconds
_REQUEST = re.compile(r' (to|on|from|for)( the)?( endpoint URL:)? "?https?://\S+')  # as botocore's errors name it
ADMINISTRATOR_NAMES = ("ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY")
# What a customer's keys may do with objects, and with the bucket. No deletion, no retention: who may set a date when
# writing may set one later too. Every object gets its own from the store (the platform's sealer; AWS and Azure do so by
# themselves).
OBJECT_ACTIONS = (
    "s3:PutObject",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:GetObjectRetention",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
# Without a version this adds a delete marker; deletion of versions is another permission (s3:DeleteObjectVersion),
# which a customer has not got.
LOCK_FILE_ACTIONS = ("s3:DeleteObject",)
BUCKET_ACTIONS = (
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
)


class StoreError(Exception):
    """Something that the store, or this module for it, refuses; its text is one line with the mend."""


@dataclass(frozen=True)
class Keys:
    """An access key and its secret."""

    access: str
    secret: str = field(repr=False)


def administrator(path: str) -> Keys:
    """The keys in a file of ``NAME=value`` lines, as the local platform writes it. Raises StoreError."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise StoreError(f"STELE_STORE_ADMIN={path}: {reason}; name the file with the store's keys") from error
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    missing = [name for name in ADMINISTRATOR_NAMES if name not in values]
    if missing:
        raise StoreError(f"STELE_STORE_ADMIN={path}: has no line {missing[0]}=...; add it")
    return Keys(*(values[name] for name in ADMINISTRATOR_NAMES))


def client(endpoint: str, keys: Keys) -> Any:
    """An S3 client that gives up after a few tries instead of a minute."""
    settings = Config(
        connect_timeout=TIMEOUT,
        read_timeout=6 * TIMEOUT,
        retries={"total_max_attempts": 3, "mode": "standard"},
        s3={"addressing_style": "path"},
        signature_version="s3v4",  # presigned addresses too
        proxies={},
    )
    os.environ.pop("AWS_PROFILE", None)  # of this user's dealings with somebody else's store
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        config=settings,
    )


def policy(bucket: str) -> dict[str, Any]:
    """What the bucket's customer may do. Whatever is not named here is refused."""
    principal = {"AWS": [bucket]}  # the access key is named like the bucket
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": principal,
                "Action": list(OBJECT_ACTIONS),
                "Resource": f"arn:aws:s3:::{bucket}/*",
            },
            {
                "Effect": "Allow",
                "Principal": principal,
                "Action": list(BUCKET_ACTIONS),
                "Resource": f"arn:aws:s3:::{bucket}",
            },
            {
                "Effect": "Allow",
                "Principal": principal,
                "Action": list(LOCK_FILE_ACTIONS),
                "Resource": f"arn:aws:s3:::{bucket}/{LOCK_FILES}",
            },
        ],
    }


def code(error: ClientError) -> str:
    """The S3 error code, for example ``AccessDenied``."""
    return str(error.response["Error"]["Code"])


def explained(error: ClientError) -> str:
    mends = {
        "InvalidAccessKeyId": "the administrator's access key is unknown to this store; set the right one",
        "SignatureDoesNotMatch": "the administrator's secret key is wrong; set the right one",
        "RequestTimeTooSkewed": "this machine's clock and the store's differ by over 15 minutes; set the clock",
        "AccessDenied": "refused to these keys; use the administrator's",
    }
    return mends.get(code(error), f"{code(error)}: {error.response['Error'].get('Message', '')}".rstrip(": "))


def unreached(error: BotoCoreError) -> str:
    """Why the store was not reached, without the address of the very request: it is this program's, not the user's."""
    return _REQUEST.sub("", str(error))
