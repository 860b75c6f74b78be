"""Which Docker engine is used: the machine's own when one answers, otherwise one that we run."""

from __future__ import annotations

import hashlib
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

import processes
from home import Home, read_json, write_json
from parts import Part, find_program
from problem import Problem
from wire import Engine, healthy

SYSTEM_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True)
class Choice:
    """The engine in use: its socket, and whether it is one that we start and stop."""

    socket: str
    ours: bool

    @property
    def engine(self) -> Engine:
        return Engine(self.socket)


def own_socket(home: Home) -> str:
    return str(home.run / "docker.sock")


def stored_choice(home: Home) -> Choice | None:
    """What the last `up` chose, None before the first."""
    row = read_json(home.conf / "engine.json")
    return Choice(str(row["socket"]), bool(row["ours"])) if "socket" in row else None


def store_choice(home: Home, choice: Choice) -> None:
    write_json(home.conf / "engine.json", {"socket": choice.socket, "ours": choice.ours})


def choose(home: Home, environ: dict[str, str]) -> Choice:
    """The engine to use.

    An engine of our own that holds data stays in use. Otherwise the first of DOCKER_HOST, the current
    docker context and /var/run/docker.sock that answers; otherwise, as root, one of our own.
    """
    stored = stored_choice(home)
    own = Choice(own_socket(home), ours=True)
    if stored is not None and stored.ours and (home.data / "engine").exists():
        return own
    named = _named_by_user(home, environ)
    if named is not None:
        return Choice(_answering(named, "DOCKER_HOST or the docker context"), ours=False)
    if stored is not None and not stored.ours:
        return Choice(_answering(stored.socket, "the engine this checkout used so far"), ours=False)
    if healthy("docker", SYSTEM_SOCKET):
        return Choice(SYSTEM_SOCKET, ours=False)
    if os.getuid() != 0:
        raise _needs_an_engine()
    return own


def _needs_an_engine() -> Problem:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    if Path(SYSTEM_SOCKET).exists() and not os.access(SYSTEM_SOCKET, os.R_OK | os.W_OK):
        return Problem(
            f"{SYSTEM_SOCKET} is not open to user {user}",
            f"ask for membership of its group (usermod -aG docker {user}), then log in again",
        )
    return Problem(
        f"no Docker engine answers and user {user} may not start one",
        f"ask for an engine and its group (apt-get install docker.io; usermod -aG docker {user}), or run as root",
    )


def _answering(socket: str, origin: str) -> str:
    if not healthy("docker", socket):
        raise Problem(f"the Docker engine on {socket} ({origin}) does not answer", "start it, or unset DOCKER_HOST")
    return socket


def _named_by_user(home: Home, environ: dict[str, str]) -> str | None:
    """The socket that DOCKER_HOST or the current docker context names; None for ours and for none."""
    host = environ.get("DOCKER_HOST", "") or _context_host(home, environ)
    if host in ("", f"unix://{own_socket(home)}", f"unix://{SYSTEM_SOCKET}"):
        return None
    if not host.startswith("unix://"):
        raise Problem(
            f"DOCKER_HOST={host} is not on this machine",
            "unset it: the registry of the dev stack listens on loopback, so its engine must be local (unix://...)",
        )
    return host.removeprefix("unix://")


def _context_host(home: Home, environ: dict[str, str]) -> str:
    folder = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name = environ.get("DOCKER_CONTEXT") or read_json(folder / "config.json").get("currentContext", "default")
    if folder == home.docker_config or name == "default":
        return ""
    # The layout of docker's context store: the folder is the SHA-256 of the context's name.
    meta = folder / "contexts" / "meta" / hashlib.sha256(str(name).encode()).hexdigest() / "meta.json"
    return str(read_json(meta).get("Endpoints", {}).get("docker", {}).get("Host", ""))


def engine_part(home: Home, *, write: bool = True) -> Part:
    """Our own dockerd. Its configuration file is its own: the machine's /etc/docker/daemon.json is not read."""
    mend = "install it (apt-get install docker.io)"
    program = find_program(home, ("dockerd",), mend)
    for needed in ("containerd", "runc", "iptables"):
        find_program(home, (needed,), f"install it (apt-get install {needed})")
    config = home.conf / "daemon.json"
    pidfile, exec_root = home.run / "dockerd.pid", home.run / "exec"
    content = {
        "data-root": str(home.data / "engine"),
        "exec-root": str(exec_root),
        "pidfile": str(pidfile),
        "hosts": [f"unix://{own_socket(home)}"],
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
        # Seconds that containers get on a stop: a database must be able to finish its checkpoint.
        "shutdown-timeout": 40,
    }
    if write and read_json(config) != content:
        write_json(config, content)
    argv = (program, "--config-file", str(config))
    stale = (str(pidfile), str(exec_root / "containerd" / "containerd.pid"))
    return Part("engine", argv, ("docker", own_socket(home)), 60, stale)


def other_engines(home: Home) -> list[int]:
    """Pids of other dockerd processes in this network namespace.

    Two of them cannot share one: each flushes the other's iptables chains when it starts, and both call
    their bridges docker0 and docker_gwbridge.
    """
    mine = Path("/proc/self/ns/net").readlink()
    config = str(home.conf / "daemon.json")
    found = []
    for pid in processes.all_pids():
        argv = processes.arguments(pid)
        if argv and Path(argv[0]).name == "dockerd" and config not in argv:
            try:
                if Path(f"/proc/{pid}/ns/net").readlink() == mine:
                    found.append(pid)
            except OSError:
                continue
    return found
