"""The variables that make plain `pulumi` work in this checkout."""

from __future__ import annotations

import os

from airgap.installer.layout import Checkout

# Protects development stacks from a look over the shoulder, nothing more: it is in the documentation. Real environments
# use a passphrase or a key service of their own.
DEVELOPMENT_PASSPHRASE = "stele-dev"  # noqa: S105 - see above

NO_DEBUG_LOG = "Pulumi keeps no debug logs here. To have them: remove this file and make a folder of this name.\n"


def prepare_state(checkout: Checkout) -> None:
    """The folder of the file backend, a passphrase unless there is one, and no debug logs unless wanted."""
    checkout.state.mkdir(parents=True, exist_ok=True)
    if not checkout.passphrase.exists():
        # Beside and moved into place: a full disk must not leave an empty one, which would never be mended.
        beside = checkout.passphrase.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(DEVELOPMENT_PASSPHRASE + "\n")
        beside.replace(checkout.passphrase)
    _switch_debug_log_off(checkout)


def _switch_debug_log_off(checkout: Checkout) -> None:
    """Put a file where the CLI would make its folder of debug logs, unless somebody wants them and made the folder.

    The CLI then goes without; a switch is still to come (https://github.com/pulumi/pulumi/issues/22416). See
    docs/decisions/no-debug-log.md.
    """
    logs = checkout.pulumi_home / "logs"
    if not logs.exists():
        logs.parent.mkdir(parents=True, exist_ok=True)
        logs.write_text(NO_DEBUG_LOG)


def variables(checkout: Checkout, *, offline: bool) -> dict[str, str]:
    """Environment variables for this checkout, PATH included."""
    result = {
        "PATH": _path(checkout),
        "PULUMI_HOME": str(checkout.pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{checkout.state}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(checkout.passphrase),
        "PULUMI_PYTHON_CMD": str(checkout.python),
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "DO_NOT_TRACK": "1",
    }
    if offline:
        # A missing plugin is an error at once, not after trying a network that is not there.
        result["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return result


def _path(checkout: Checkout) -> str:
    """Ours first, once, however often the result is evaluated."""
    ours = [str(checkout.bin), str(checkout.venv / "bin")]
    others = [p for p in os.environ.get("PATH", "").split(os.pathsep) if p and p not in ours]
    return os.pathsep.join([*ours, *others])
