"""Clusters whose hosts are engines of this machine, and whose stacks are in this checkout's state.

The platform does not stop them: `pulumi destroy` does, and it needs that state.
"""

from __future__ import annotations

import os
from pathlib import Path

from home import Home


def clusters(home: Home) -> dict[str, int]:
    """How many hosts each of them has here, by the name of its stack."""
    # As hosts/__main__.py has it; the platform imports nothing of the product.
    root = Path(os.environ.get("STELE_HOSTS", "/var/lib/stele/hosts"))
    stacks = sorted(path.stem for path in (home.stele / "state" / ".pulumi" / "stacks" / "stele").glob("*.json"))
    hosts = {stack: len(list((root / stack).glob("*/host.json"))) for stack in stacks}
    return {stack: count for stack, count in hosts.items() if count}
