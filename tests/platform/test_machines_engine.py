"""The machine's own engine is used, never stopped, and nothing of others on it is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import probe
from .machine import LOCAL, Checkout, Machine, eventually

pytestmark = pytest.mark.engine

USER = 12345


class Engine:
    """A dockerd that the platform did not start."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        # Sockets have short paths.
        self.run = Path(f"/run/foreign-{os.getpid()}")
        self.run.mkdir(exist_ok=True)
        self.socket = self.run / "docker.sock"
        self.host = f"unix://{self.socket}"
        config = self.run / "daemon.json"
        config.write_text("{}")
        options = ["--data-root", str(folder), "--exec-root", str(self.run / "x"), "--pidfile", str(self.run / "pid")]
        self.process = machine.start(
            "dockerd", "--config-file", str(config), *options, "--host", self.host, "--group", str(USER)
        )

    def wait(self) -> None:
        eventually(lambda: self.machine.run("docker", "--host", self.host, "version").returncode == 0, "engine answers")

    def docker(self, *arguments: str) -> str:
        result = self.machine.run("docker", "--host", self.host, *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate()
        for path in (self.run / "x" / "netns").glob("*"):
            self.machine.run("umount", str(path))
        self.machine.run("rm", "-rf", str(self.run))


@pytest.fixture
def engine(machine: Machine, tmp_path: Path) -> Iterator[Engine]:
    started = Engine(machine, tmp_path / "foreign")
    try:
        started.wait()
        yield started
    finally:
        started.close()


@pytest.fixture
def guest(machine: Machine, engine: Engine, tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(machine, tmp_path / "checkout", DOCKER_HOST=engine.host)
    yield made
    made.local("stop", "--delete-data")


def test_is_used_and_not_stopped(guest: Checkout, engine: Engine) -> None:
    said = guest.up()
    assert "using the engine of this machine" in said
    assert "Swarm initialised" in said
    assert guest.env()["DOCKER_HOST"] == engine.host
    assert sum("dockerd" in line for line in guest.processes()) == 0
    assert guest.local("status").returncode == 0
    assert guest.local("stop").returncode == 0
    assert engine.process.poll() is None
    assert swarm_state(engine) == "active"
    assert guest.local("stop", "--delete-data").returncode == 0
    assert engine.process.poll() is None
    assert swarm_state(engine) == "inactive"


def swarm_state(engine: Engine) -> str:
    return engine.docker("info", "--format", "{{.Swarm.LocalNodeState}}")


SERVICE = ("service", "create", "--detach", "--quiet", "--no-resolve-image")
COMMAND = ("probe:1", "/bin/sleep", "infinity")


def labels(checkout: str | None) -> tuple[str, ...]:
    """What an environment puts on its objects; None: as an older version did, without the checkout."""
    shared = ("--label", "stele.stack=dev")
    return shared if checkout is None else (*shared, "--label", f"stele.checkout={checkout}")


def test_stop_takes_only_this_checkouts_services(guest: Checkout, engine: Engine) -> None:
    """Pulumi's state goes on listing configs, secrets, networks and volumes, so they must outlive a plain stop."""
    said = guest.up()
    assert "Swarm initialised" in said
    assert machine_import(engine) == 0
    owners = {"mine": guest.env()["STELE_CHECKOUT_ID"], "neighbours": "00000000", "older": None}
    for name, owner in owners.items():
        engine.docker(*SERVICE, *labels(owner), "--name", name, *COMMAND)
    mine = labels(owners["mine"])
    engine.docker("volume", "create", *mine, "mine")
    engine.docker("network", "create", *mine, "--driver", "overlay", "mine")
    engine.docker("config", "create", *mine, "mine", "/etc/hostname")
    engine.docker("secret", "create", *mine, "mine", "/etc/hostname")
    eventually(lambda: len(engine.docker("ps", "--quiet").split()) == 3, "the services run")

    result = guest.local("stop")
    assert result.returncode == 0, result.stderr
    assert "`make dev` brings the services back" in result.stderr
    assert set(engine.docker("service", "ls", "--format", "{{.Name}}").split()) == {"neighbours", "older"}
    # Stopped means stopped: the container has ended when the command returns.
    assert len(engine.docker("ps", "--quiet").split()) == 2
    for kind in ("volume", "network", "config", "secret"):
        assert "mine" in engine.docker(kind, "ls", "--format", "{{.Name}}").split()
    assert swarm_state(engine) == "active"

    result = guest.local("stop", "--delete-data")
    assert result.returncode == 0, result.stderr
    assert "the Swarm stays" in result.stderr
    assert set(engine.docker("service", "ls", "--format", "{{.Name}}").split()) == {"neighbours", "older"}
    for kind in ("volume", "network", "config", "secret"):
        assert "mine" not in engine.docker(kind, "ls", "--format", "{{.Name}}").split()


def test_swarm_of_others_and_their_things_stay(guest: Checkout, engine: Engine) -> None:
    engine.docker("swarm", "init", "--listen-addr", "127.0.0.1", "--advertise-addr", "127.0.0.1")
    guest.up()
    mine = labels(guest.env()["STELE_CHECKOUT_ID"])
    assert machine_import(engine) == 0
    mount = ("--mount", "type=volume,src=mine,dst=/data", *COMMAND)
    engine.docker("volume", "create", *mine, "mine")
    engine.docker("network", "create", *mine, "--driver", "overlay", "mine")
    engine.docker(*SERVICE, *mine, "--name", "mine", "--network", "mine", "--endpoint-mode", "dnsrr", *mount)
    engine.docker("volume", "create", "others")
    engine.docker("volume", "create", *labels("00000000"), "neighbours")
    engine.docker("volume", "create", *labels(None), "older")
    engine.docker(*SERVICE, "--name", "others", *COMMAND)
    eventually(lambda: len(engine.docker("ps", "--quiet").split()) == 2, "both services run")

    result = guest.local("stop", "--delete-data")
    assert result.returncode == 0, result.stderr
    assert engine.docker("service", "ls", "--format", "{{.Name}}") == "others"
    assert set(engine.docker("volume", "ls", "--format", "{{.Name}}").split()) == {"others", "neighbours", "older"}
    assert "mine" not in engine.docker("network", "ls", "--format", "{{.Name}}").split()
    assert swarm_state(engine) == "active"


def machine_import(engine: Engine) -> int:
    command = engine.machine.command("docker", "--host", engine.host, "import", "-", "probe:1")
    return subprocess.run(command, input=probe.archive(), capture_output=True).returncode


def test_engine_that_does_not_answer_is_reported(machine: Machine, tmp_path: Path) -> None:
    checkout = Checkout(machine, tmp_path / "checkout", DOCKER_HOST="unix:///run/nobody.sock")
    result = checkout.local("up")
    assert result.returncode == 1
    assert "/run/nobody.sock" in result.stderr
    assert result.stderr.count("\n") == 1


def test_engine_elsewhere_is_refused(machine: Machine, tmp_path: Path) -> None:
    result = Checkout(machine, tmp_path / "checkout", DOCKER_HOST="tcp://192.0.2.9:2376").local("up")
    assert result.returncode == 1
    assert "tcp://192.0.2.9:2376 is not on this machine" in result.stderr


def test_engine_beside_a_running_one_is_not_started(machine: Machine, engine: Engine, tmp_path: Path) -> None:
    """Found by its process, because it listens on a socket that nobody named."""
    result = Checkout(machine, tmp_path / "checkout").local("up")
    assert result.returncode == 1
    assert "another Docker engine runs here (dockerd, pid" in result.stderr
    assert engine.process.poll() is None


def as_user(machine: Machine, folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    identity = ("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups")
    home = {"STELE_HOME": str(folder), "HOME": str(folder)}
    return machine.run(*identity, python(), str(LOCAL), *arguments, **home, **environ)


def python() -> str:
    """An interpreter that other users may run: root's own may be in root's home."""
    return "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


@pytest.fixture
def users_folder(machine: Machine) -> Iterator[Path]:
    folder = Path(f"/var/tmp/stele-user-{os.getpid()}")
    folder.mkdir()
    os.chown(folder, USER, USER)
    # Their checkout's Python environment: our own may be closed to them.
    subprocess.run([python(), "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    packages = folder / ".venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    packages.rmdir()
    packages.symlink_to(sysconfig.get_path("purelib"))
    yield folder
    as_user(machine, folder, "stop", "--delete-data")
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_ordinary_user_without_an_engine_is_told_what_to_ask_for(machine: Machine, users_folder: Path) -> None:
    result = as_user(machine, users_folder, "up")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "no Docker engine answers" in result.stderr
    assert "usermod -aG docker" in result.stderr


def test_ordinary_user_with_an_engine(machine: Machine, engine: Engine, users_folder: Path) -> None:
    result = as_user(machine, users_folder, "up", DOCKER_HOST=engine.host)
    logs = "\n".join(path.read_text()[-2000:] for path in (users_folder / ".stele" / "log").glob("*.log"))
    assert result.returncode == 0, result.stderr + logs
    exported = as_user(machine, users_folder, "env").stdout
    (users_folder / "root.tar").write_bytes(probe.archive())
    (users_folder / "Dockerfile").write_text('FROM scratch\nADD root.tar /\nRUN ["/bin/bash", "-c", "echo built"]\n')
    build = f"{exported}\ndocker buildx build --quiet --push --tag $STELE_REGISTRY/mine:1 {users_folder}"
    identity = ("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups")
    built = machine.run(*identity, "bash", "-c", build, HOME=str(users_folder))
    assert built.returncode == 0, built.stderr
    stopped = as_user(machine, users_folder, "stop", "--delete-data")
    assert stopped.returncode == 0, stopped.stderr
    assert engine.docker("ps", "--all", "--quiet") == ""
    assert engine.docker("volume", "ls", "--quiet") == ""
