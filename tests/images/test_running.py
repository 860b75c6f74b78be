"""What every image does in a container of its own, where nothing else is: asked through testinfra."""

from __future__ import annotations

from typing import Any

import pytest
import testinfra

from bench.lab.workspace import wait_until
from tests.images.conftest import NAMES, Containers, given, recipe
from tests.images.image import Image
from tests.images.inspections import HOOKS, USER, packages

ALIVE_WITHIN = 60  # seconds; on a busy machine a JVM takes many

Answer = tuple[int, list[str], str]  # exit code, lines, complaints


def host(container: Any) -> Any:
    """A container as testinfra sees it."""
    return testinfra.get_host(f"docker://{container.id}")


def ask(container: Any, hook: str) -> Answer:
    """What a hook answers."""
    done = host(container).run(f"/opt/stele/{hook}")
    return done.rc, done.stdout.splitlines(), done.stderr


def alive(container: Any) -> Any:
    """The same container, once it is alive."""
    wait_until(f"alive: {container.name}", lambda: ask(container, "health live")[0] == 0, ALIVE_WITHIN)
    return container


def end(container: Any, signal: str, limit: float) -> int | None:
    """The exit code after a signal; None when it still runs after ``limit`` seconds."""
    container.kill(signal)

    def ended() -> bool:
        container.reload()
        return bool(container.status == "exited")

    try:
        wait_until("the end", ended, limit)
    except AssertionError:
        return None
    return int(container.attrs["State"]["ExitCode"])


@pytest.fixture(scope="package", params=NAMES)
def runtime(request: pytest.FixtureRequest) -> str:
    """Each of the sample product's runtimes."""
    return str(request.param)


@pytest.fixture(scope="package")
def container(running: dict[str, Any], runtime: str) -> Any:
    """Its container, alive."""
    return alive(running[runtime])


def test_it_runs_as_stele(container: Any) -> None:
    inside = host(container)
    assert inside.check_output("id -u; id -g; id -G").split() == [str(USER)] * 3
    first = inside.file("/proc/1/status").content_string
    assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}\n" in first
    assert f"Gid:\t{USER}\t{USER}\t{USER}\t{USER}\n" in first
    user = inside.user("stele")
    assert (user.uid, user.gid, user.shell) == (USER, USER, "/usr/sbin/nologin")


def test_it_can_change_its_state_and_nothing_else(container: Any) -> None:
    inside = host(container)
    assert inside.run("touch /data/.probe && rm /data/.probe").rc == 0
    # Its exit code is about folders that only root may enter.
    writable = inside.run("find / -xdev -path /proc -prune -o -path /dev -prune -o ! -type l -writable -print -prune")
    assert set(writable.stdout.split()) == {"/data", "/run/lock", "/run/stele", "/tmp", "/var/tmp"}


def test_hooks_are_roots_and_for_everybody(container: Any) -> None:
    for path in HOOKS:
        hook = host(container).file(f"/{path}")
        assert (hook.is_file, hook.user, hook.mode) == (True, "root", 0o755), path


def test_packages_are_what_its_own_tools_say(container: Any, images: dict[str, Image], runtime: str) -> None:
    said = host(container).check_output("dpkg-query --show --showformat '${Package}=${Version}\\n'")
    assert set(said.split()) == packages(images[runtime])
    assert host(container).run("dpkg --audit").stdout == ""


def test_health_says_in_one_line_that_it_lives(container: Any) -> None:
    code, said, complaints = ask(container, "health live")
    assert (code, len(said), complaints) == (0, 1, "")
    assert said[0].strip()


def test_health_says_whether_it_is_ready(container: Any, runtime: str) -> None:
    if recipe(runtime).get("needs"):
        code, said, complaints = ask(container, "health ready")
        assert code == 1
    else:
        wait_until(f"ready: {runtime}", lambda: ask(container, "health ready")[0] == 0, ALIVE_WITHIN)
        code, said, complaints = ask(container, "health ready")
        assert code == 0
    assert (len(said), complaints) == (1, "")
    assert said[0].strip()


def test_diagnose_gives_a_short_picture(container: Any, images: dict[str, Image], runtime: str) -> None:
    code, said, complaints = ask(container, "diagnose")
    assert (code, complaints) == (0, "")
    assert said[0] == f"template: {images[runtime].settings['Labels']['stele.template']}"
    assert 3 <= len(said) <= 30
    if images[runtime].family == "jvm":
        assert "class-data archive: in use" in said


def test_no_password_is_in_its_environment_its_log_or_its_diagnosis(container: Any, runtime: str) -> None:
    inside = host(container)
    shown = inside.check_output("cat /proc/1/environ /proc/1/cmdline; /opt/stele/diagnose") + container.logs().decode()
    secrets = [text for path, text in given(runtime).items() if path.startswith("run/secrets/")]
    assert [secret for secret in secrets if secret in shown] == []


def signals() -> list[tuple[str, str]]:
    """By runtime SIGTERM, and what the orchestrator sends where that is something else."""
    return sorted({(name, signal) for name in NAMES for signal in ("SIGTERM", recipe(name)["stop"]["signal"])})


@pytest.mark.parametrize(("runtime", "signal"), signals())
def test_it_ends_by_itself_when_told(
    containers: Containers, references: dict[str, str], runtime: str, signal: str
) -> None:
    container = alive(containers.start(references[runtime], given(runtime)))
    assert end(container, signal, recipe(runtime)["stop"]["grace"]) in (0, 143)


def test_an_edge_that_cannot_start_says_why(containers: Containers, references: dict[str, str]) -> None:
    # The orchestrator puts /etc/stele/version.json there; without it the configuration is wrong.
    container = containers.start(references["edge"], {})
    assert container.wait(timeout=ALIVE_WITHIN)["StatusCode"] == 1
    assert "version.json" in container.logs().decode()
