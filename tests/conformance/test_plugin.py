"""The plugins as processes: starting, ending, refusing; previews and secrets; no engine needed."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .plugin import PLUGINS, ROOT, Json, Plugin, RefusedError
from .samples import NETWORK, SECRET, SERVICE, encoded, urn, web

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SECRET_SIGNATURE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


@pytest.mark.parametrize("name", ["docker", "command", "azure-native"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_plugin(name: str, number: int) -> None:
    plugin = Plugin(name, arguments=("--logtostderr", "-v=9", "127.0.0.1:1"))
    assert plugin.close(number) == 0


@pytest.mark.parametrize("name", ["docker", "command", "azure-native"])
def test_a_plugin_ends_with_the_engine_that_started_it(name: str) -> None:
    """The engine may be killed at any moment; its plugins must not stay behind."""
    script = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen([{str(PLUGINS / f'pulumi-resource-{name}')!r}], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); sys.stdin.read()\n"
    )
    environment = {**os.environ, "STELE_PLUGIN_PYTHON": sys.executable}
    command = [sys.executable, "-c", script]
    parent = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    assert select.select([child], [], [], 20)[0], "the plugin outlived its engine"
    os.close(child)


def test_a_plugin_that_does_not_come_to_serve_ends_and_says_where_it_stands(tmp_path: Path) -> None:
    """The engine waits for its port without a limit."""
    start = re.sub(r"START_LIMIT = \d+", "START_LIMIT = 1", (PLUGINS / "start.py").read_text())
    (tmp_path / "start.py").write_text(start)
    (tmp_path / "stuck_plugin").mkdir()
    (tmp_path / "stuck_plugin" / "main.py").write_text("import time\n\ndef main():\n    time.sleep(120)\n")
    command = [sys.executable, "-I", str(tmp_path / "start.py"), "stuck_plugin"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "stuck_plugin/main.py" in done.stderr


@pytest.mark.parametrize("name", ["docker", "command", "azure_native"])
def test_starting_loads_neither_the_sdk_nor_a_docker_library(name: str) -> None:
    """What is imported is waited for at every `pulumi up`."""
    script = (
        f"import sys; sys.path.insert(0, {str(PLUGINS)!r})\n"
        f"import {name}_plugin.main\n"
        "assert not hasattr(sys.modules['pulumi'], 'Resource'), 'the whole SDK was imported'\n"
        "assert 'pulumi_azure_native' not in sys.modules, 'the Azure SDK was imported'\n"
        "assert 'docker' not in sys.modules and 'requests' not in sys.modules and 'yaml' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-I", "-c", script], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("docker", "docker:index/container:Container"),
        ("docker", "docker:index/image:Image"),
        ("command", "command:remote:Command"),
        ("azure-native", "azure-native:compute:VirtualMachine"),
    ],
)
def test_other_types_are_refused_with_the_official_plugin(name: str, token: str) -> None:
    plugin = Plugin(name)
    try:
        with pytest.raises(RefusedError, match=f"pulumi plugin install resource {name} v") as refused:
            plugin.call("Check", {"urn": urn(token, "x"), "news": {}})
        assert token in refused.value.text
    finally:
        plugin.close()


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("docker", "docker:index/getLogs:getLogs"),
        ("command", "command:local:run"),
        ("azure-native", "azure-native:storage:listStorageAccountKeys"),
    ],
)
def test_other_functions_are_refused_with_the_official_plugin(name: str, token: str) -> None:
    plugin = Plugin(name)
    try:
        with pytest.raises(RefusedError, match=f"{token}.*pulumi plugin install resource {name} v"):
            plugin.call("Invoke", {"tok": token, "args": {}})
    finally:
        plugin.close()


def bad(**changes: object) -> Json:
    """A service with changed container settings."""
    given = web("x")
    given["taskSpec"]["containerSpec"] |= changes
    return given


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"name": "x"}, "Missing required property 'taskSpec'"),
        ({**web("x"), "colour": "red"}, "Invalid or unknown key. Examine values at 'web.colour'."),
        (bad(stopGracePeriod="soon"), "'soon' is not a valid duration"),
        (bad(mounts=[{"type": "nfs", "target": "/x"}]), "'nfs' doesn't match the pattern"),
        (bad(image=None), "Missing required property 'taskSpec.containerSpec.image'"),
        ({**web("x"), "mode": {"global": True}}, '"mode.0.global": conflicts with converge_config'),
    ],
)
def test_bad_inputs_are_refused_by_the_check(replayed_docker: Plugin, given: Json, reason: str) -> None:
    answer = replayed_docker.call("Check", {"urn": urn(SERVICE, "web"), "news": given})
    assert any(failure["reason"].startswith(reason) for failure in answer["failures"]), answer["failures"]


def test_a_preview_of_a_creation_shows_what_is_known(replayed_docker: Plugin) -> None:
    request = {"urn": urn(NETWORK, "n"), "properties": {"name": "n", "driver": UNKNOWN}, "preview": True}
    shown = replayed_docker.call("Create", request)["properties"]
    assert (shown["name"], shown["driver"], shown["scope"], shown["id"]) == ("n", UNKNOWN, UNKNOWN, UNKNOWN)
    assert "__pulumi_raw_state_delta" not in shown


def test_a_plan_with_unknown_values_replaces_what_they_force(replayed_docker: Plugin) -> None:
    olds = {"id": "i", "name": "n", "data": encoded("a"), "labels": [], "__meta": '{"schema_version":"1"}'}
    request = {"urn": urn(SECRET, "s"), "id": "i", "olds": olds, "news": {"name": "n", "data": UNKNOWN}}
    plan = replayed_docker.call("Diff", request)
    assert plan["replaces"] == ["data"]


def test_sensitive_inputs_are_marked_secret(replayed_docker: Plugin) -> None:
    given = {**web("x"), "auth": {"serverAddress": "r:5000", "username": "u", "password": "p"}}
    inputs = replayed_docker.call("Check", {"urn": urn(SERVICE, "web"), "news": given})["inputs"]
    assert inputs["auth"]["password"] == {**SECRET_SIGNATURE, "value": "p"}


def test_ignored_changes_keep_their_old_values(replayed_docker: Plugin) -> None:
    olds = {"id": "i", "name": "n", "data": encoded("a"), "labels": [], "__meta": '{"schema_version":"1"}'}
    news = {"name": "n", "data": encoded("b")}
    request: Json = {"urn": urn(SECRET, "s"), "id": "i", "olds": olds, "news": news}
    assert replayed_docker.call("Diff", request)["changes"] == "DIFF_SOME"
    assert replayed_docker.call("Diff", {**request, "ignoreChanges": ["data"]})["changes"] == "DIFF_NONE"


def test_a_state_of_another_schema_version_is_refused(replayed_docker: Plugin) -> None:
    olds = {"id": "i", "name": "n", "data": encoded("a"), "__meta": '{"schema_version":"0"}'}
    with pytest.raises(RefusedError, match="schema version 0, this plugin knows 1"):
        replayed_docker.call("Diff", {"urn": urn(SECRET, "s"), "id": "i", "olds": olds, "news": {"name": "n"}})


def test_no_copy_of_this_machine_is_in_the_plugins() -> None:
    """The folder is committed: nothing in it may point at the machine it was written on."""
    for path in PLUGINS.rglob("*.py"):
        assert str(Path.home()) not in path.read_text(), path
