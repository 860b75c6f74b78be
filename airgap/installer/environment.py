"""The variables that make plain `pulumi` work in this checkout."""

from __future__ import annotations

import os

from airgap.installer.layout import Checkout

# Protects development stacks from a look over the shoulder, nothing more: it is in the documentation. Real environments
# use a passphrase or a key service of their own.
DEVELOPMENT_PASSPHRASE = "stele-dev"  # noqa: S105 - see above


def prepare_state(checkout: Checkout) -> None:
    """The folder of the file backend, and the passphrase unless somebody has put one there."""
    checkout.state.mkdir(parents=True, exist_ok=True)
    if not checkout.passphrase.exists():
        descriptor = os.open(checkout.passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(DEVELOPMENT_PASSPHRASE + "\n")


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
        # The CLI keeps a debug log of every command, up to 500 MB; these are kept as long, but there are fewer.
        "PULUMI_LOG_ROTATION_MAX_TOTAL_MB": "50",
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
