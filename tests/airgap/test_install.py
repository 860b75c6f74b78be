"""`airgap/install` and `airgap/environment` of this checkout, as a user calls them."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from airgap.installer.environment import DEVELOPMENT_PASSPHRASE, prepare_state
from airgap.installer.layout import Checkout
from airgap.installer.plugins import link_or_copy, write_wrapper


def _run(checkout: Checkout, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([checkout.airgap / name], env=os.environ | variables, capture_output=True, text=True)


def test_a_second_install_changes_nothing_and_says_so_in_one_line(checkout: Checkout) -> None:
    before = checkout.receipt.stat().st_mtime_ns, (checkout.bin / "pulumi").stat().st_ino
    done = _run(checkout, "install")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "toolchain is ready" in done.stderr
    assert before == (checkout.receipt.stat().st_mtime_ns, (checkout.bin / "pulumi").stat().st_ino)


def test_an_unknown_choice_lists_what_is_allowed(checkout: Checkout) -> None:
    done = _run(checkout, "install", STELE_TOOLCHAIN="offline")
    assert done.returncode == 1
    assert done.stderr == "stele: STELE_TOOLCHAIN=offline: allowed are official, airgap, auto\n"


def test_the_environment_can_be_evaluated_again_and_again(checkout: Checkout) -> None:
    command = shlex.quote(str(checkout.airgap / "environment"))
    script = f'eval "$({command})"; ' * 2 + 'echo "$PATH"; command -v pulumi'
    path, pulumi = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )[:2]
    entries = path.split(":")
    assert entries[:2] == [str(checkout.bin), str(checkout.venv / "bin")]
    assert entries.count(str(checkout.bin)) == 1
    assert pulumi == str(checkout.bin / "pulumi")


def test_the_development_passphrase_is_private_and_never_overwritten(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    prepare_state(checkout)
    assert checkout.passphrase.read_text().strip() == DEVELOPMENT_PASSPHRASE
    assert stat.S_IMODE(checkout.passphrase.stat().st_mode) == 0o600
    checkout.passphrase.write_text("mine")
    prepare_state(checkout)
    assert checkout.passphrase.read_text() == "mine"


def test_debug_logs_are_off_until_somebody_makes_their_folder(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    logs = checkout.pulumi_home / "logs"
    prepare_state(checkout)
    assert logs.is_file()
    logs.unlink()
    logs.mkdir()
    prepare_state(checkout)
    assert logs.is_dir()


def test_a_wrapper_passes_arguments_and_paths_with_spaces_on(tmp_path: Path) -> None:
    target = tmp_path / "a folder" / "tool"
    write_wrapper(target, ["/bin/echo", "it's"], ' "$((1 + 1))"')
    done = subprocess.run([target, "a b", "c"], capture_output=True, text=True, check=True)
    assert done.stdout == "it's 2 a b c\n"


@pytest.mark.parametrize("name", ["docker", "command", "azure-native"])
def test_an_installed_plugin_starts_and_prints_its_port(checkout: Checkout, name: str) -> None:
    """As the engine starts it."""
    (plugin,) = checkout.pulumi_home.glob(f"plugins/resource-{name}-v*/pulumi-resource-{name}")
    with subprocess.Popen([plugin, "127.0.0.1:1"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip().isdigit()
        finally:
            process.terminate()


def test_a_tool_is_replaced_while_its_predecessor_runs(tmp_path: Path) -> None:
    old, new, target = tmp_path / "old", tmp_path / "new", tmp_path / "bin" / "tool"
    for source in (old, new):
        source.write_bytes(Path("/bin/sleep").read_bytes() + source.name.encode())
        source.chmod(0o755)
    link_or_copy(old, target)
    running = subprocess.Popen([target, "600"])
    try:
        link_or_copy(new, target)
        assert target.read_bytes().endswith(b"new")
        assert running.poll() is None
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize("target", ["help", "-n env", "-n dev", "-n test", "-n down DATA=delete"])
def test_make_targets_parse(checkout: Checkout, target: str) -> None:
    done = subprocess.run(["make", *target.split()], cwd=checkout.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
