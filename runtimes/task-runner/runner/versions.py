"""Every stored version of S3 objects, by its id.

rclone names a version by the second in which the store says it was changed. That does not tell two of one second apart,
and versitygw gives an older version the moment at which it was replaced: who overwrites an object twice at once would
hide it.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from .mends import mended
from .problem import Problem

REGION = "us-east-1"
TIMEOUT = 60  # seconds
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Version:
    """One version; ``written`` is when it was, by the store's clock."""

    path: str
    id: str
    size: int
    written: datetime


class _NoAnswer(Problem):
    """The store was not reached, or failed; it may answer a moment later."""


class Versions:
    """The versions in one bucket, newest first for each key. Errors are Problems with the store's code."""

    def __init__(self, endpoint: str, bucket: str, access: str, secret: str) -> None:
        self._url, self._bucket, self._access, self._secret = urlsplit(endpoint), bucket, access, secret

    def list(self, prefix: str) -> Iterator[Version]:
        """Those of keys below ``prefix/``, ``path`` without it."""
        query = {"versions": "", "prefix": f"{prefix}/"}
        while True:
            page = self._page(query)
            for found in page.iter("Version"):
                said = {part.tag: part.text or "" for part in found}
                moment = _moment(said["VersionId"], said["LastModified"])
                yield Version(said["Key"].removeprefix(f"{prefix}/"), said["VersionId"], int(said["Size"]), moment)
            if page.findtext("IsTruncated") != "true":
                return
            query["key-marker"] = page.findtext("NextKeyMarker") or ""
            query["version-id-marker"] = page.findtext("NextVersionIdMarker") or ""

    def _page(self, query: Mapping[str, str]) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(re.sub(rb' xmlns="[^"]*"', b"", self._get("", query)))  # noqa: S314
        except ElementTree.ParseError as error:
            raise Problem(f"{self._url.geturl()}, {self._bucket}: its list of versions is no XML ({error})") from None

    def read(self, prefix: str, version: Version) -> bytes:
        return self._get(f"/{prefix}/{version.path}", {"versionId": version.id})

    def _get(self, key: str, query: Mapping[str, str]) -> bytes:
        """The body of an answer, at the third try at the latest."""
        for pause in (0.5, 2):
            try:
                return self._ask(key, query)
            except _NoAnswer:
                time.sleep(pause)
        return self._ask(key, query)

    def _ask(self, key: str, query: Mapping[str, str]) -> bytes:
        path = quote(f"{self._url.path.rstrip('/')}/{self._bucket}{key}")
        words = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
        secure = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=TIMEOUT)
        try:
            connection.request("GET", f"{path}?{words}", headers=self._signed(path, words))
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no answer"
            told = f"the store does not answer; start it, or mend the address ({reason})"
            raise _NoAnswer(f"{self._url.geturl()}, {self._bucket}: {told}") from None
        finally:
            connection.close()
        if answer.status != http.client.OK:
            code = re.search(rb"<Code>(.*?)</Code>", body)
            reason = code[1].decode(errors="replace") if code else str(answer.status)
            text = f"{self._url.geturl()}, {self._bucket}: {mended(reason) or reason}"
            raise _NoAnswer(text) if answer.status >= http.client.INTERNAL_SERVER_ERROR else Problem(text)
        return body

    def _signed(self, path: str, query: str) -> dict[str, str]:
        """The headers of a signed request without a body (AWS signature, version 4)."""
        moment, empty = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", hashlib.sha256(b"").hexdigest()
        headers = {"host": self._url.netloc, "x-amz-content-sha256": empty, "x-amz-date": moment}
        lines, names = "".join(f"{name}:{text}\n" for name, text in headers.items()), ";".join(headers)
        request = hashlib.sha256(f"GET\n{path}\n{query}\n{lines}\n{names}\n{empty}".encode()).hexdigest()
        scope = f"{moment[:8]}/{REGION}/s3/aws4_request"
        key = b"AWS4" + self._secret.encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{request}".encode(), "sha256").hex()
        whose = f"AWS4-HMAC-SHA256 Credential={self._access}/{scope}"
        return headers | {"authorization": f"{whose}, SignedHeaders={names}, Signature={signature}"}


def _moment(identity: str, changed: str) -> datetime:
    """versitygw's ids are ULIDs, which begin with the milliseconds since 1970; elsewhere the date is the version's."""
    if not _ULID.fullmatch(identity):
        return datetime.fromisoformat(changed)
    milliseconds = 0
    for letter in identity[:10]:
        milliseconds = milliseconds * 32 + _CROCKFORD.index(letter)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
