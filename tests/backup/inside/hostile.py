"""Everything that somebody with the task runner's own keys can try against the backups, as root in its container.

Prints one JSON object: by attempt, the store's answers and how often each was given.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

sys.path.insert(0, "/opt/stele/lib")
from runner import repository
from runner import settings as configured
from runner.repository import Backups
from runner.settings import secret
from runner.signature import canonical, seal, signing_key
from runner.store import Store

SETTINGS = configured.load()
BUCKET = SETTINGS.storage["bucket"]
PREFIX = f"backups/{SETTINGS.stack}/"
DIGEST = "0" * 64


def call(verb: str, key: str, query: str = "", body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """A request as signed by these keys (AWS signature, version 4)."""
    url = urlsplit(SETTINGS.storage["endpoint"])
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    path = quote(f"/{BUCKET}/{key}" if key else f"/{BUCKET}")
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&") if pair)
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    digest = hashlib.sha256(body).hexdigest()
    sent = {"host": url.netloc, "x-amz-content-sha256": digest, "x-amz-date": now}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    names = ";".join(sorted(sent))
    lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    request = f"{verb}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    key_ = b"AWS4" + secret("storage-secret").encode()
    for part in scope.split("/"):
        key_ = hmac.digest(key_, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(key_, text.encode(), "sha256").hexdigest()
    whose = f"AWS4-HMAC-SHA256 Credential={SETTINGS.storage['access_key']}/{scope}"
    sent["authorization"] = f"{whose}, SignedHeaders={names}, Signature={signature}"
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    try:
        connection.request(verb, path + (f"?{query}" if query else ""), body, sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def forged(moment: datetime, **record: object) -> None:
    """A record that says so, sealed with the stack's own key, under the name its content asks for."""
    name = f"{moment:%Y-%m-%dT%H-%M-%SZ}"
    text = canonical(record | {"name": name, "result": record.get("result", "verified")})
    digest = hashlib.sha256(text).hexdigest()
    sealed = seal(SETTINGS.stack, name, "verified", digest, signing_key(secret("backup-key")))
    ANSWERS["forge a record"][call("PUT", f"{PREFIX}records/{name}.verified.{digest}.{sealed}.json", body=text)[0]] += 1


ANSWERS: dict[str, Counter[int]] = {}


def attempt(name: str, verb: str, key: str, query: str = "", body: bytes = b"", **headers: str) -> None:
    ANSWERS.setdefault(name, Counter())[call(verb, key, query, body, **headers)[0]] += 1


def versions() -> list[tuple[str, str]]:
    status, text = call("GET", "", f"versions=&prefix={PREFIX}&max-keys=1000")
    assert status == 200, text
    plain = re.sub(rb' xmlns="[^"]*"', b"", text)
    found = ElementTree.fromstring(plain).iter("Version")
    return [(str(each.findtext("Key")), str(each.findtext("VersionId"))) for each in found]


def against_objects(record: dict[str, object]) -> None:
    """Delete, shorten, overwrite whatever is there, in that order."""
    soon = f"{datetime.now(UTC) + timedelta(seconds=5):%Y-%m-%dT%H:%M:%SZ}"
    short = f"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{soon}</RetainUntilDate></Retention>".encode()
    stored = [pair for pair in versions() if "/locks/" not in pair[0]]
    for key, version in stored:
        attempt("delete a version", "DELETE", key, f"versionId={version}")
        attempt(
            "delete a version, bypassing",
            "DELETE",
            key,
            f"versionId={version}",
            x_amz_bypass_governance_retention="true",
        )
        attempt("delete an object", "DELETE", key)
        attempt("shorten a retention", "PUT", key, f"retention=&versionId={version}", short)
        attempt("release a legal hold", "PUT", key, "legal-hold=", b"<LegalHold><Status>OFF</Status></LegalHold>")
        attempt("copy over an object", "PUT", key, x_amz_copy_source=f"/{BUCKET}/{stored[-1][0]}")
    listed = "".join(f"<Object><Key>{key}</Key><VersionId>{version}</VersionId></Object>" for key, version in stored)
    attempt("delete many", "POST", "", "delete=", f"<Delete>{listed}</Delete>".encode())
    # First, so that it is older than what will be left of the true one.
    true = datetime.strptime(str(record["name"]), "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)
    ANSWERS["forge a record"] = Counter()
    forged(true, **(record | {"snapshot": DIGEST}))
    for key, _ in stored:
        attempt("overwrite an object", "PUT", key, body=os.urandom(300))


def against_the_bucket() -> None:
    off = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
    rule = b"<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule>"
    lock = (
        b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>"
        + rule
        + b"</ObjectLockConfiguration>"
    )
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]}).encode()
    attempt("suspend versions", "PUT", "", "versioning=", off)
    attempt("shorten the default", "PUT", "", "object-lock=", lock)
    attempt("rewrite the policy", "PUT", "", "policy=", policy)
    attempt("delete the policy", "DELETE", "", "policy=")
    attempt("open the list of who may", "PUT", "", "acl=", x_amz_acl="public-read-write")
    attempt("delete the bucket", "DELETE", "")


def against_what_comes(record: dict[str, object]) -> None:
    """What may be added is added where it hurts the next backup, and the choice of the newest."""
    now = datetime.now(UTC)
    repository = record["repository"]
    lock = json.dumps({"time": now.isoformat(), "exclusive": True, "hostname": "x", "username": "x", "pid": 1}).encode()
    for number in range(30):
        name = hashlib.sha256(lock + bytes([number])).hexdigest()
        attempt("fill the locks", "PUT", f"{PREFIX}{repository}/locks/{name}", body=lock)
    attempt("delete a lock", "DELETE", f"{PREFIX}{repository}/locks/{name}")
    for path in (f"data/00/{DIGEST}", f"index/{DIGEST}", f"snapshots/{DIGEST}", f"keys/{DIGEST}", "junk", "data/junk"):
        attempt("add to the repository", "PUT", f"{PREFIX}{repository}/{path}", body=b"junk")
    for name in (
        f"{repository}.2/config",
        f"{repository}.99/config",
        f"{repository}.999999999/config",
        f"{repository}zz/config",
        f"{repository}.x/config",
    ):
        attempt("occupy the next repository", "PUT", f"{PREFIX}{name}", body=b"junk")
    forged(now + timedelta(days=3650), **record)  # would be the newest for ever
    forged(now, **(record | {"objects": {**dict(record["objects"]), f"data/00/{DIGEST}": 4}}))  # type: ignore[call-overload]
    forged(now + timedelta(seconds=1), **(record | {"objects": {"../../../etc/stele/x": 1}}))
    forged(now + timedelta(seconds=2), **(record | {"snapshot": "--password-file=/etc/passwd"}))
    forged(now + timedelta(seconds=3), nothing=True)
    forged(now + timedelta(seconds=4), result=["verified"])
    for text in (b"", b"{", b"[]", b"null", b"\xff", b'"' * 9, b"[" * 99999):
        name = f"{now:%Y-%m-%d}T00-00-00Z.verified.{hashlib.sha256(text).hexdigest()}.{DIGEST}.json"
        attempt("add what is no record", "PUT", f"{PREFIX}records/{name}", body=text)


def wait() -> None:
    """Add an object that is not what its name says to every repository, until there is one more record."""
    store = Store(SETTINGS.storage)
    done: set[str] = set()
    over = len(Backups(store, SETTINGS.stack).records())
    while len(Backups(store, SETTINGS.stack).records()) == over:
        found = {entry["Path"].partition("/")[0] for entry in store.list(PREFIX.rstrip("/"))} - {"records"}
        for name in found - done:
            store.write(f"{PREFIX}{name}/data/ff/{'f' * 64}", b"junk")
        done |= found
    print("added")


if __name__ == "__main__":
    repository.DATA = Path(mkdtemp())  # type: ignore[attr-defined]  # what it does to the runner's own volume is another matter
    if sys.argv[1:] == ["wait"]:
        wait()
        sys.exit()
    victim = list(Backups(Store(SETTINGS.storage), SETTINGS.stack).records().values())[-1]
    against_objects(victim)
    against_the_bucket()
    against_what_comes(victim)
    print(json.dumps({name: dict(counts) for name, counts in ANSWERS.items()}))
