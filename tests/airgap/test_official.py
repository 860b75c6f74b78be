"""The official path, against a release server of the test's own."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airgap.installer.layout import Checkout, InstallError
from airgap.installer.official import Release, download, releases

_RELEASE = Release("acme/tool", "v1.0.0", "tool-linux.tar.gz", {"tool/bin/tool": "tool"})


class _Server:
    """Serves `files` by path."""

    def __init__(self) -> None:
        files = self.files = dict[str, bytes]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def publish(self, release: Release, content: bytes, digest: str) -> None:
        self.files["/asset"] = content
        asset = {"name": release.asset, "digest": digest, "browser_download_url": f"{self.url}/asset"}
        self.files[f"/{release.repository}/releases/tags/{release.tag}"] = json.dumps({"assets": [asset]}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[_Server]:
    """A release server on the loopback interface."""
    server = _Server()
    yield server
    server.close()


def _archive(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_verified_archive_is_unpacked(server: _Server, tmp_path: Path) -> None:
    archive = _archive("tool/bin/tool", b"#!/bin/sh\n")
    server.publish(_RELEASE, archive, _digest(archive))
    download(_RELEASE, tmp_path / "tool", server.url)
    assert [p.name for p in (tmp_path / "tool").iterdir()] == ["tool"]
    assert (tmp_path / "tool" / "tool").stat().st_mode & 0o777 == 0o755


def test_a_bare_binary_gets_its_commands_name(server: _Server, tmp_path: Path) -> None:
    release = Release("acme/tool", "v1.0.0", "tool-linux-amd64", {}, command="tool")
    server.publish(release, b"binary", _digest(b"binary"))
    download(release, tmp_path / "tool", server.url)
    assert (tmp_path / "tool" / "tool").read_bytes() == b"binary"


def test_another_content_than_published_installs_nothing(server: _Server, tmp_path: Path) -> None:
    server.publish(_RELEASE, _archive("tool/bin/tool", b"evil"), _digest(b"good"))
    with pytest.raises(InstallError, match="nothing was installed"):
        download(_RELEASE, tmp_path / "tool", server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_release_is_named(server: _Server, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"cannot download tool-linux\.tar\.gz v1\.0\.0: HTTP Error 404"):
        download(_RELEASE, tmp_path / "tool", server.url)


def test_the_versions_are_those_of_the_go_modules(checkout: Checkout) -> None:
    wanted = {r.repository: r.tag for r in releases(checkout)}
    assert wanted["pulumi/pulumi"] == "v3.256.0"
    assert wanted["versity/versitygw"] == "v1.8.0"
    assert f"pulumi=={wanted['pulumi/pulumi'].lstrip('v')} " in (checkout.root / "requirements.lock").read_text()
