"""The runtime options of Pulumi.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.language_host.toolchain import ToolchainError, parse_options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"toolchain": "conda"}, "option toolchain: 'conda' is not one of pip, uv, poetry"),
        ({"virtualenv": 7.0}, "option virtualenv: 7.0 is not a string"),
        ({"typechecker": "pyre"}, "option typechecker: 'pyre' is not one of mypy, pyright"),
    ],
)
def test_a_bad_option_is_named_with_what_is_allowed(options: dict[str, object], message: str) -> None:
    with pytest.raises(ToolchainError) as refused:
        parse_options("/project", options)
    assert str(refused.value) == message


def test_without_options_the_python_on_path_runs_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\n")
    (tmp_path / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PULUMI_PYTHON_CMD", raising=False)
    assert parse_options("/project", {}).python() == tmp_path / "python3"


def test_a_virtual_environment_is_relative_to_the_project(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    options = parse_options(str(tmp_path), {"virtualenv": "venv"})
    assert options.python() == python
    assert options.environment()["VIRTUAL_ENV"] == str(tmp_path / "venv")
    assert options.environment()["PATH"].startswith(f"{python.parent}:")


def test_a_missing_virtual_environment_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"venv is not a virtual environment; create it with `pulumi install`"):
        parse_options(str(tmp_path), {"virtualenv": "venv"}).python()


def test_a_plugin_never_runs_in_the_callers_environment(tmp_path: Path) -> None:
    assert parse_options(str(tmp_path), {}, is_plugin=True).environment_folder == tmp_path / "venv"
    assert parse_options(str(tmp_path), {}).environment_folder is None


def test_uv_keeps_its_environment_beside_the_project(tmp_path: Path) -> None:
    assert parse_options(str(tmp_path), {"toolchain": "uv"}).environment_folder == tmp_path / ".venv"
