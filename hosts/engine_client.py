"""Clients of Docker engines, wherever they are: what is reached over SSH is a socket of this process.

docker-py's own way over SSH has no time-outs and needs an implementation of SSH besides the one that everybody has
configured. So `ssh` is called (hosts/ssh.py), as the docker CLI does, and docker-py sees a Unix socket.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import shutil
import socketserver
import subprocess
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from hosts.ssh import REFUSED, SSH, refusal, ssh

SLOW = 60  # seconds for an answer over SSH: its login is part of it
UNREACHED = 502  # the HTTP status of an engine behind an SSH that refuses
_PATIENCE = 5.0  # seconds for a process whose caller has gone


@cache
def connect(engine: str, timeout: int = 30) -> Any:
    """A client of an engine, by its DOCKER_HOST: one for each, since a new one asks for the engine's version first."""
    try:
        patience = max(timeout, SLOW) if engine.startswith(SSH) else timeout
        return docker.DockerClient(base_url=reach(engine), timeout=patience)
    except DockerException as error:
        if said := re.search(r'"(.* refuses SSH: .*)"', str(error)):  # among words about HTTP
            raise DockerException(said[1]) from error
        raise


def from_env(timeout: int = 60) -> Any:
    """A client of the engine that DOCKER_HOST names."""
    host = os.environ.get("DOCKER_HOST", "")
    return docker.DockerClient.from_env(timeout=timeout, environment=os.environ | {"DOCKER_HOST": reach(host)})


@cache
def reach(engine: str) -> str:
    """The DOCKER_HOST of an engine for clients without SSH: ``ssh://`` becomes a socket while this process runs."""
    if not engine.startswith(SSH):
        return engine
    folder = Path(tempfile.mkdtemp(prefix="stele-ssh-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = _Server(str(folder / "engine"), _Connection)
    server.engine = engine
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"unix://{folder}/engine"


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
    engine: str


class _Connection(socketserver.BaseRequestHandler):
    """One connection to the engine: the process has the socket as its standard input and output."""

    server: _Server

    def handle(self) -> None:
        command = ssh(self.server.engine, "docker", "system", "dial-stdio")
        with subprocess.Popen(
            command, stdin=self.request, stdout=self.request, stderr=subprocess.PIPE, text=True
        ) as process:
            self._await(process)
            said = process.communicate()[1]
        if process.returncode == REFUSED:  # said as an engine would say it
            body = json.dumps({"message": refusal(self.server.engine, said)}).encode()
            head = f"HTTP/1.1 {UNREACHED} Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            with suppress(OSError):  # nobody waits for it any more
                self.request.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)

    def _await(self, process: subprocess.Popen[str]) -> None:
        """Until it ends, or the caller has gone and it does not: an engine that hangs would keep it."""
        poller = select.poll()
        poller.register(self.request, 0)  # tells when both directions are closed
        while process.poll() is None:
            if poller.poll(500):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
                process.kill()
