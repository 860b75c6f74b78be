"""Commands that really run: what they get, what they leave, how they fail and end."""

from __future__ import annotations

import base64
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .plugin import Call, Json, Plugin, RefusedError, recorded
from .samples import urn

COMMAND = "command:local:Command"
URN = urn(COMMAND, "hello")


def create(plugin: Plugin, **inputs: object) -> Json:
    """The outputs of a new command."""
    answer = plugin.call("Create", {"urn": URN, "properties": inputs})
    assert answer["id"].startswith("hello")
    assert len(answer["id"]) == len("hello") + 8
    outputs: Json = answer["properties"]
    return outputs


@pytest.mark.parametrize("call", recorded("Create", "Update", "Delete", plugin="command"), ids=str)
def test_recorded_commands_run_as_recorded(command_plugin: Plugin, call: Call) -> None:
    answer = command_plugin.call(call.method, call.request)
    assert {**answer, "id": ""} == {**call.response, "id": ""}


def test_a_command_gets_its_environment_input_and_folder(command_plugin: Plugin, tmp_path: Path) -> None:
    outputs = create(
        command_plugin,
        create='cat; echo "$GREETING"; pwd; echo oops >&2',
        environment={"GREETING": "hi"},
        stdin="from stdin\n",
        dir=str(tmp_path),
    )
    assert (outputs["stdout"], outputs["stderr"]) == (f"from stdin\nhi\n{tmp_path}", "oops")


def test_a_command_runs_in_its_interpreter(command_plugin: Plugin) -> None:
    outputs = create(command_plugin, create="print(6 * 7)", interpreter=["python3", "-c"])
    assert outputs["stdout"] == "42"


def test_much_output_and_input_do_not_block_each_other(command_plugin: Plugin) -> None:
    text = "x" * 300_000
    assert create(command_plugin, create="cat", stdin=text)["stdout"] == text


@pytest.mark.parametrize(("allowed", "seen"), [("unset", "first"), ("yes", "first"), ("no", "")])
def test_an_update_sees_the_output_before_it(command_plugin: Plugin, allowed: str, seen: str) -> None:
    news: Json = {"create": "echo first", "update": 'printf "%s" "$PULUMI_COMMAND_STDOUT"'}
    if allowed != "unset":
        news["addPreviousOutputInEnv"] = allowed == "yes"
    request = {"urn": URN, "id": "i", "olds": {**news, "stdout": "first", "stderr": ""}, "news": news}
    assert command_plugin.call("Update", request)["properties"]["stdout"] == seen


def test_without_an_update_command_the_create_command_runs_again(command_plugin: Plugin) -> None:
    news = {"create": "echo again"}
    request = {"urn": URN, "id": "i", "olds": {**news, "stdout": "", "stderr": ""}, "news": news}
    assert command_plugin.call("Update", request)["properties"]["stdout"] == "again"


def test_a_failing_command_shows_its_status_and_output(command_plugin: Plugin) -> None:
    with pytest.raises(RefusedError) as refused:
        create(command_plugin, create="echo some; echo reason >&2; exit 3")
    assert 'desc = exit status 3: running "echo some; echo reason >&2; exit 3":\n' in refused.value.text
    assert {"some", "reason"} <= set(refused.value.text.splitlines())


def test_a_missing_folder_is_named(command_plugin: Plugin) -> None:
    with pytest.raises(RefusedError, match="chdir /no/such: no such file or directory"):
        create(command_plugin, create="true", dir="/no/such")


def test_files_come_back_as_assets(command_plugin: Plugin, tmp_path: Path) -> None:
    outputs = create(
        command_plugin,
        create="mkdir sub; echo 1 > a.txt; echo 2 > sub/b.txt; echo 3 > sub/secret.txt; echo 4 > c.log",
        dir=str(tmp_path),
        assetPaths=["**.txt", "!**secret*"],
    )
    assert set(outputs["assets"]) == {"a.txt", "sub/b.txt"}
    assert outputs["assets"]["a.txt"]["path"] == str(tmp_path / "a.txt")


def test_secrets_stay_secret_and_reach_the_command_in_the_clear(command_plugin: Plugin) -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "hunter2"}
    outputs = create(command_plugin, create='printf %s "$P" | base64', environment={"P": secret})
    assert outputs["environment"] == {"P": secret}
    assert base64.b64decode(outputs["stdout"]) == b"hunter2"


def test_a_preview_runs_nothing(command_plugin: Plugin, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    request = {"urn": URN, "properties": {"create": f"touch {marker}"}, "preview": True}
    answer = command_plugin.call("Create", request)
    assert answer["properties"]["stdout"] == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert not marker.exists()


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"create": 1}, "expected a string, got int"),
        ({"logging": "loud"}, "'loud' is not one of stdout, stderr, stdoutAndStderr, none"),
        ({"environment": {"A": 1}}, "expected a map of strings"),
    ],
)
def test_bad_inputs_are_refused(command_plugin: Plugin, inputs: Json, reason: str) -> None:
    (failure,) = command_plugin.call("Check", {"urn": URN, "news": inputs})["failures"]
    assert failure == {"property": next(iter(inputs)), "reason": reason}


def test_a_cancelled_command_is_ended_with_its_children(tmp_path: Path) -> None:
    plugin = Plugin("command")
    pipe = tmp_path / "alive"
    os.mkfifo(pipe)
    try:
        with ThreadPoolExecutor() as pool:
            request = {"urn": URN, "properties": {"create": f"(exec sleep 1000 > {pipe}) & wait"}}
            running = pool.submit(plugin.call, "Create", request)
            with pipe.open("rb") as child:
                threading.Thread(target=plugin.cancel).start()
                assert child.read() == b"", "the pipe ends when the last process of the command has ended"
            with pytest.raises(RefusedError, match="cancelled: running"):
                running.result(timeout=120)
    finally:
        plugin.close()
