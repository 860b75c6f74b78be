"""What a plugin says about everything it does not do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Official:
    """The official plugin that an offline one stands in for."""

    name: str
    version: str

    def refuse(self, what: str) -> str:
        """One line: what is not here, and how to get the plugin that has it."""
        return (
            f"{what} is not in the offline '{self.name}' plugin (see airgap/plugins/COVERAGE.md); "
            f"install the official one with `pulumi plugin install resource {self.name} v{self.version} --reinstall`"
        )
