"""`airgap/install`: prepares the toolchain, or finds in a moment that nothing is to do."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from enum import StrEnum
from pathlib import Path

from airgap.installer import debian, environment, go_tools, official, plugins, venv
from airgap.installer.layout import Checkout, InstallError, this_checkout
from airgap.installer.progress import locked, say


class Choice(StrEnum):
    """STELE_TOOLCHAIN: where the tools come from."""

    OFFICIAL = "official"
    AIRGAP = "airgap"
    AUTO = "auto"


def main(arguments: list[str]) -> int:
    """Exit code 0 when the toolchain is ready, 1 with one clear message when it is not."""
    parser = argparse.ArgumentParser(prog="airgap/install", description="Prepare the toolchain of this checkout.")
    parser.add_argument("--dev", action="store_true", help="with the test and lint tools of requirements-dev.lock")
    parser.add_argument("--force", action="store_true", help="look at every part again")
    options = parser.parse_args(arguments)
    purpose = "dev" if options.dev else "run"
    checkout = this_checkout()
    try:
        choice = _choice()
        receipt = read_receipt(checkout)
        if not options.force and _is_current(checkout, receipt, choice, purpose):
            say(f"toolchain is ready ({receipt['source']})")
            return 0
        with locked(checkout.stele / "install.lock", "toolchain"):
            source = install(checkout, choice, purpose)
    except InstallError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run it again to go on where it stopped")
        return 130
    say(f"toolchain installed ({source})")
    return 0


def install(checkout: Checkout, choice: Choice, purpose: str) -> Choice:
    """Does what is missing; returns where the tools came from. Raises InstallError."""
    debian.install_missing(checkout, purpose)
    venv.prepare(checkout, purpose)
    environment.prepare_state(checkout)
    source = choice if choice is not Choice.AUTO else _source(checkout)
    if read_receipt(checkout).get("source") not in (None, source):
        plugins.remove_plugins(checkout)
    checkout.receipt.unlink(missing_ok=True)
    if source is Choice.OFFICIAL:
        plugins.place_tools(checkout, official.download_all(checkout))
        official.install_plugins(checkout, plugins.required(checkout))
    else:
        tools = go_tools.build_all(checkout)
        plugins.place_tools(checkout, tools)
        plugins.place_language_host(checkout)
        plugins.place_plugins(checkout, tools)
    _write_receipt(checkout, source)
    return source


def read_receipt(checkout: Checkout) -> dict[str, str]:
    """What the last complete install recorded; empty when there was none."""
    try:
        content: dict[str, str] = json.loads(checkout.receipt.read_text())
    except (OSError, ValueError):
        return {}
    return content


def _choice() -> Choice:
    value = os.environ.get("STELE_TOOLCHAIN", Choice.AUTO)
    if value not in set(Choice):
        raise InstallError(f"STELE_TOOLCHAIN={value}: allowed are {', '.join(Choice)}")
    return Choice(value)


def _source(checkout: Checkout) -> Choice:
    """An earlier choice stays: whether the internet answers today must not change the plugins under a stack."""
    if recorded := read_receipt(checkout).get("source"):
        return Choice(recorded)
    if official.reachable():
        return Choice.OFFICIAL
    say("released binaries cannot be reached: building from package registries (STELE_TOOLCHAIN=official to insist)")
    return Choice.AIRGAP


def _is_current(checkout: Checkout, receipt: dict[str, str], choice: Choice, purpose: str) -> bool:
    return (
        bool(receipt)
        and choice in (Choice.AUTO, receipt["source"])
        and receipt["inputs"] == _inputs(checkout)
        and venv.is_current(checkout, purpose)
        and all(Path(name).exists() for name in _outputs(checkout))
        and not debian.missing(checkout, purpose)
    )


def _inputs(checkout: Checkout) -> str:
    """Changes whenever an install would do something else: lock files, this program, where the checkout lies."""
    digest = hashlib.sha256(str(checkout.root).encode())
    files = [checkout.module(m) / n for m in go_tools.MODULES for n in ("go.mod", "go.sum")]
    files += [checkout.root / name for name in venv.LOCKS.values()]
    for file in files + sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _outputs(checkout: Checkout) -> list[str]:
    files = [checkout.bin / name for name in ("pulumi", "pulumi-language-python", "buildkitd", "crane", "versitygw")]
    files += [checkout.docker_config / "cli-plugins" / "docker-buildx", checkout.passphrase, checkout.state]
    folder = checkout.pulumi_home / "plugins"
    files += [folder / f"resource-{n}-v{v}" for n, v in plugins.required(checkout).items()]
    return [str(file) for file in files]


def _write_receipt(checkout: Checkout, source: Choice) -> None:
    part = checkout.receipt.with_suffix(".part")
    part.write_text(json.dumps({"source": source, "inputs": _inputs(checkout)}, indent=2) + "\n")
    part.replace(checkout.receipt)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
