"""The shell that hosts are looked at through: here on this machine, since only the words before its own differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from shell import Shell, ShellError, view

HERE = ["bash", "-c"]


@pytest.fixture
def shell() -> Iterator[Shell]:
    """One that is quick to give up."""
    with closing(Shell("here", HERE, limit=1)) as shell:
        yield shell


def test_output_errors_and_exit_status_are_told_apart(shell: Shell) -> None:
    done = shell.run("printf %s; echo wrong >&2; exit 3", "it's so")
    assert (done.rc, done.stdout, done.stderr) == (3, "it's so", "wrong\n")
    assert view(shell).check_output("echo é") == "é"


@pytest.mark.parametrize("command", ["cd / && one=two && exec true", "exit 1", "echo (", "echo 'open", "cat"])
def test_a_command_leaves_nothing_to_the_next(shell: Shell, command: str) -> None:
    before = shell.run("pwd").stdout
    shell.run(command)
    assert shell.run('pwd; echo "$one"').stdout == f"{before}\n"


def test_much_is_read_whole(shell: Shell) -> None:
    done = shell.run("seq 100000; seq 100000 >&2")
    assert done.stdout == done.stderr == "".join(f"{number}\n" for number in range(1, 100001))


def test_a_command_without_end_is_told(shell: Shell) -> None:
    with pytest.raises(ShellError, match=r"^here: sleep 60: not within 1 s$"):
        shell.run("sleep 60")


def test_a_lost_connection_is_told_with_what_ssh_said() -> None:
    said = r"^there: true: the connection is lost: ssh: .*Connection refused$"
    nobody = Shell("there", ["ssh", "-o", "LogLevel=ERROR", "-p", "1", "127.0.0.1"])
    with closing(nobody) as shell, pytest.raises(ShellError, match=said):
        shell.run("true")


def test_a_shell_that_ended_is_told(shell: Shell) -> None:
    with pytest.raises(ShellError, match=r"^here: .*: the connection is lost$"):
        shell.run("kill -9 $$")
    with pytest.raises(ShellError, match=r"the connection is lost"):
        shell.run("true")
