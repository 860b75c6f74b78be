"""What runs in an environment, for people: ``python commands/summary.py STACK``. The last thing `make dev` prints."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def outputs(stack: str) -> dict[str, Any]:
    """The stack's outputs. Raises CalledProcessError when it does not exist."""
    shown = subprocess.run(
        ["pulumi", "stack", "output", "--json", "-s", stack], check=True, capture_output=True, text=True
    )
    result: dict[str, Any] = json.loads(shown.stdout)
    return result


def summary(stack: str, shown: dict[str, Any]) -> str:
    """The lines to print: URL, version, every runtime with its digest, and what to try next."""
    width = max((len(name) for name in shown["runtimes"]), default=0)
    runtimes = [f"  {name:{width}}  {image.rpartition('@')[2]}" for name, image in sorted(shown["runtimes"].items())]
    major, minor, _ = shown["version"].split(".")
    following = f"{major}.{int(minor) + 1}.0"
    return "\n".join(
        [
            "",
            f"  {stack} runs release {shown['version']} at {shown['url'] or 'no address: it is fenced'}",
            "",
            *runtimes,
            "",
            '  Next, after eval "$(make -s env)":',
            "  upgrade    edit runtimes/, then:",
            f"             pulumi config set version {following} -s release && pulumi up -s release",
            f"             pulumi config set version {following} -s {stack} && pulumi up -s {stack}",
            f"  revert     pulumi config set version {shown['version']} -s {stack} && pulumi up -s {stack}",
            "  tear down  make down",
            "",
        ]
    )


if __name__ == "__main__":
    print(summary(sys.argv[1], outputs(sys.argv[1])))
