"""Building the Go tools: cached, never half made, once for two installs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.installer.go_tools import GoTool, build
from airgap.installer.layout import Checkout, InstallError

TOOL = GoTool("stele.test/tiny/hello", "stele.test/locked", "main.version")
_INSTALL = """
import sys
sys.path.append(sys.argv[1])
from pathlib import Path
from airgap.installer.go_tools import build
from airgap.installer.layout import Checkout
from tests.airgap.test_go_tools import TOOL
print(*build(Checkout(Path(sys.argv[2])), "tiny", (TOOL,)))
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout whose only tool prints the version that is stamped into it."""
    module = tmp_path / "airgap" / "tiny"
    (module / "hello").mkdir(parents=True)
    (module / "locked").mkdir()
    (module / "locked" / "go.mod").write_text("module stele.test/locked\n")
    (module / "locked" / "locked.go").write_text("package locked\n")
    (module / "go.mod").write_text(
        "module stele.test/tiny\n\ngo 1.26\n\nrequire (\n\tstele.test/locked v1.2.3\n)\n\n"
        "replace stele.test/locked => ./locked\n"
    )
    (module / "go.sum").write_text("")
    source = (
        'package main\n\nimport (\n\t"fmt"\n\t_ "stele.test/locked"\n)\n\n'
        'var version string\n\nfunc main() { fmt.Println("hello", version) }\n'
    )
    (module / "hello" / "main.go").write_text(source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Checkout(tmp_path)


@pytest.fixture
def go_wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a `go` on PATH that runs shell lines before it becomes the real one."""
    real = shutil.which("go")
    assert real is not None, "Go is not installed"

    def wrap(lines: str) -> None:
        folder = tmp_path / "wrapper"
        folder.mkdir()
        (folder / "go").write_text(f'#!/bin/sh\n{lines}\nexec {real} "$@"\n')
        (folder / "go").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return wrap


def _start_install(checkout: Checkout) -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", _INSTALL, root, str(checkout.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _cached(checkout: Checkout) -> list[str]:
    folder = checkout.root / "cache" / "stele" / "tools"
    return sorted(p.name for p in folder.iterdir() if p.is_dir())


def test_the_locked_version_is_stamped_into_the_tool(tiny: Checkout) -> None:
    (tool,) = build(tiny, "tiny", (TOOL,))
    assert subprocess.run([tool], capture_output=True, text=True, check=True).stdout == "hello v1.2.3\n"


def test_a_second_build_needs_no_go(tiny: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(tiny, "tiny", (TOOL,))
    monkeypatch.setenv("PATH", "")
    assert build(tiny, "tiny", (TOOL,)) == first


def test_another_lock_builds_another_tool(tiny: Checkout) -> None:
    first = build(tiny, "tiny", (TOOL,))
    module = tiny.module("tiny") / "go.mod"
    module.write_text(module.read_text().replace("v1.2.3", "v1.2.4"))
    (second,) = build(tiny, "tiny", (TOOL,))
    assert second not in first
    assert subprocess.run([second], capture_output=True, text=True, check=True).stdout == "hello v1.2.4\n"


def test_a_failed_build_shows_the_compilers_words_and_leaves_nothing(tiny: Checkout) -> None:
    (tiny.module("tiny") / "hello" / "main.go").write_text("package main\n\nfunc main() { undefinedName() }\n")
    with pytest.raises(InstallError, match="undefinedName"):
        build(tiny, "tiny", (TOOL,))
    assert _cached(tiny) == []


def test_a_killed_build_leaves_nothing_that_is_used(
    tiny: Checkout, go_wrapper: Callable[[str], None], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "compiling")
    go_wrapper(f'case "$1" in build) echo $$ > {tmp_path}/compiling; exec sleep 600;; esac')
    with _start_install(tiny) as install:
        compiler = int((tmp_path / "compiling").read_text())
        install.kill()
        os.kill(compiler, signal.SIGKILL)
    assert len(_cached(tiny)) == 1, "the killed build was to leave its unfinished folder"
    shutil.rmtree(tmp_path / "wrapper")
    (tool,) = build(tiny, "tiny", (TOOL,))
    assert _cached(tiny) == [tool.parent.name]


def test_two_installs_at_once_build_once(tiny: Checkout, go_wrapper: Callable[[str], None], tmp_path: Path) -> None:
    go_wrapper(f'case "$1" in build) echo built >> {tmp_path}/builds;; esac')
    with _start_install(tiny) as one, _start_install(tiny) as other:
        answers = {one.communicate()[0], other.communicate()[0]}
    assert (tmp_path / "builds").read_text() == "built\n"
    assert len(answers) == 1
    assert Path(answers.pop().strip()).exists()


def test_without_go_the_message_says_what_to_install(tiny: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InstallError, match=r"go is not on PATH: install Go 1\.26 or newer, or use STELE_TOOLCHAIN"):
        build(tiny, "tiny", (TOOL,))
