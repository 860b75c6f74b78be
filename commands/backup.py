"""Back up a stack now and verify it: ``make backup STACK=dev``. The nightly one needs no command."""

from __future__ import annotations

import sys

from commands.site import DrillError, Site


def main(stack: str) -> int:
    """Print the backup's record; 1 with one line when it failed."""
    try:
        print(Site.own(stack, "").runner("backup").strip().splitlines()[-1])
    except DrillError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python -m commands.backup STACK", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
