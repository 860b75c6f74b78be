"""A small client of the Docker Engine API: one connection a call, JSON in and out.

The standard library is enough for the dozen calls that are made here, starts at once, and passes a service's
specification on exactly as it was computed.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from bridge.errors import PluginError

#: The newest version of the Engine API whose answers were compared with the recordings.
NEWEST = (1, 47)
CONNECT_SECONDS = 10.0
#: The first answer over SSH: its login is part of it.
LOGIN_SECONDS = 60.0
#: Calls over SSH at once, each with a login of its own: servers refuse some of more than ten (`MaxStartups`).
LOGINS = 8
#: An engine that answers nothing for this long is broken: the longest ordinary call (creating a service whose image
#: must be resolved in a registry) takes a few seconds.
ANSWER_SECONDS = 120.0


class EngineError(PluginError):
    """The engine refused a call, or could not be reached; `status` is 0 then."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def missing(self) -> bool:
        """Whether what was asked for does not exist."""
        return self.status == 404


@dataclass(frozen=True)
class Settings:
    """Where the engine is: `unix://`, `ssh://`, `tcp://` or `http(s)://`; TLS material as PEM texts or a folder."""

    host: str = "unix:///var/run/docker.sock"
    ca: str = ""
    cert: str = ""
    key: str = ""
    cert_path: str = ""
    auths: dict[str, dict[str, str]] = field(default_factory=dict)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=CONNECT_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(self.path)


class _SshConnection(http.client.HTTPConnection):
    """By the user's own `ssh`, as the docker CLI does: the process has the socket as its standard input and output."""

    # Those of hosts/ssh.py, which a plugin cannot import, since it runs by itself: a dead host is given up after 20 s,
    # before the connection and within it; one that is only slow is waited for.
    _OPTIONS = (
        "BatchMode=yes",
        "ConnectTimeout=20",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=4",
        "LogLevel=ERROR",
    )

    def __init__(self, host: str) -> None:
        super().__init__("docker", timeout=LOGIN_SECONDS)
        self._host = host
        self._process: subprocess.Popen[str] | None = None

    def connect(self) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(LOGIN_SECONDS)
        options = [word for option in self._OPTIONS for word in ("-o", option)]
        command = ["ssh", *options, "--", self._host, "docker", "system", "dial-stdio"]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE, text=True
            )

    def getresponse(self) -> http.client.HTTPResponse:
        try:
            return super().getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            raise ConnectionError(f"ssh: {self._end() or 'no answer'}") from None

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> str:
        """What the process said before it ended, or was ended: nobody listens to it any more."""
        process, self._process = self._process, None
        if process is None:
            return ""
        process.kill()
        return process.communicate()[1].strip()


class Engine:
    """One engine. Every call raises EngineError with one line that says what failed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._version = ""
        self._lock = threading.Lock()
        self._logins = threading.BoundedSemaphore(LOGINS)

    def get(self, path: str, timeout: float = ANSWER_SECONDS, **query: Any) -> Any:
        """GET; the decoded answer."""
        return self._call("GET", path, query, None, {}, timeout)

    def get_distribution(self, path: str, auth: str) -> Any:
        """What a registry says about an image; the engine asks it with these credentials."""
        return self._call("GET", f"{path}/json", {}, None, {"X-Registry-Auth": auth}, ANSWER_SECONDS)

    def post(
        self,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = ANSWER_SECONDS,
        **query: Any,
    ) -> Any:
        """POST; the decoded answer."""
        return self._call("POST", path, query, body, headers or {}, timeout)

    def delete(self, path: str, **query: Any) -> None:
        """DELETE."""
        self._call("DELETE", path, query, None, {}, ANSWER_SECONDS)

    def _call(
        self, method: str, path: str, query: dict[str, Any], body: Any, headers: dict[str, str], timeout: float
    ) -> Any:
        given = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in query.items()}
        target = f"/v{self._api_version()}{path}" + (f"?{urlencode(given)}" if given else "")
        status, raw, _ = self._exchange(method, target, body, headers, timeout)
        if status >= 400:
            raise EngineError(f"Error response from daemon: {_message(raw)}", status)
        return json.loads(raw) if raw.strip() else None

    def _api_version(self) -> str:
        with self._lock:
            if not self._version:
                patience = LOGIN_SECONDS if self.settings.host.startswith("ssh://") else CONNECT_SECONDS
                try:
                    status, raw, headers = self._exchange("GET", "/_ping", None, {}, patience)
                except EngineError as error:
                    raise EngineError(
                        "failed to create Docker client: Error pinging Docker server, please make sure that "
                        f"{self.settings.host} is reachable and has a  '_ping' endpoint. Error: {error}"
                    ) from None
                if status >= 400:
                    raise EngineError(f"{self.settings.host} answers {status} to a ping: {_message(raw)}", status)
                offered = tuple(int(part) for part in headers.get("api-version", "1.41").split("."))
                self._version = ".".join(str(part) for part in min(offered, NEWEST))
            return self._version

    def _exchange(
        self, method: str, target: str, body: Any, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = self._connect()
        logins = self._logins if isinstance(connection, _SshConnection) else nullcontext()
        try:
            with logins, closing(connection):
                connection.connect()
                connection.sock.settimeout(timeout)
                content = None if body is None else json.dumps(body).encode()
                connection.request(method, target, content, {"Content-Type": "application/json", **headers})
                answer = connection.getresponse()
                return answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
        except TimeoutError:
            raise EngineError(f"the Docker engine at {self.settings.host} did not answer within {timeout:g}s") from None
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error)
            raise EngineError(
                f"Cannot connect to the Docker daemon at {self.settings.host}. Is the docker daemon running? ({reason})"
            ) from None

    def _connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self.settings.host)
        if address.scheme == "unix":
            return _UnixConnection(address.path)
        if address.scheme == "ssh" and address.hostname:
            return _SshConnection(self.settings.host)
        if address.scheme not in ("tcp", "http", "https") or not address.hostname:
            raise EngineError(f"docker host '{self.settings.host}' is not unix://, ssh://, tcp:// or http(s)://")
        secure = bool(address.scheme == "https" or self.settings.cert_path or self.settings.cert)
        if not secure:
            return http.client.HTTPConnection(address.hostname, address.port or 2375, timeout=CONNECT_SECONDS)
        return http.client.HTTPSConnection(
            address.hostname, address.port or 2376, timeout=CONNECT_SECONDS, context=self._tls()
        )

    def _tls(self) -> ssl.SSLContext:
        settings = self.settings
        folder = Path(settings.cert_path)
        try:
            if settings.cert_path:
                context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
                context.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))
                return context
            context = ssl.create_default_context(cadata=settings.ca or None)
            if not settings.ca:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            _load_texts(context, settings.cert, settings.key)
        except (OSError, ssl.SSLError) as error:
            raise EngineError(f"cannot use the TLS material for {settings.host}: {error}") from None
        return context


def _load_texts(context: ssl.SSLContext, cert: str, key: str) -> None:
    """`ssl` reads certificates from files only: hand them over in a file that nobody else can open."""
    if not cert:
        return
    handle = os.memfd_create("docker-cert")
    try:
        os.write(handle, f"{cert}\n{key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def _message(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        return raw.decode(errors="replace").strip()[:500] or "no reason given"


def path_of(kind: str, name: str) -> str:
    """`/services/<name>`, with whatever a name may contain escaped; an image name keeps its slashes."""
    return f"/{kind}/{quote(name, safe='/:@' if kind == 'distribution' else '')}"
