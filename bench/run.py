"""Every measurement: ``python -m bench.run [--only upgrades,bad] [--short] [--rate 80]``; writes bench/results.md."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback

from bench import results
from bench.laboratory import Laboratory
from bench.report import write_report

NAMES = ["upgrades", "bad", "compose", "byhand", "noop", "delta", "cds", "memory", "backup", "hosts"]


def main(arguments: list[str]) -> int:
    """Run the measurements; exit code 1 when one failed or a promise is not kept."""
    parser = argparse.ArgumentParser(prog="bench.run", description=(__doc__ or "").strip())
    parser.add_argument("--only", type=lambda text: text.split(","), default=NAMES, help=", ".join(NAMES))
    parser.add_argument("--short", action="store_true", help="fewer rounds, for a look")
    parser.add_argument("--rate", type=float, default=80, help="requests a second")
    given = parser.parse_args(arguments)
    if unknown := set(given.only) - set(NAMES):
        parser.error(f"--only {','.join(sorted(unknown))}: known are {', '.join(NAMES)}")
    run = results.Run.begin(short=given.short, rate=given.rate)
    lab = Laboratory(short=given.short, rate=given.rate)
    try:
        broken = [name for name in NAMES if name in given.only and not measure(name, lab, run)]
    finally:
        write_report(NAMES)
        lab.close()
    if broken:
        print(f"not kept, or not measured: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def measure(name: str, lab: Laboratory, run: results.Run) -> bool:
    """Take one measurement and keep what came of it; whether it was taken and everything promised holds."""
    results.say(name, "begins")
    results.discard(name)
    try:
        taken = importlib.import_module(f"bench.{name}").measure(lab)
    except Exception as error:  # noqa: BLE001 - the others are still worth having
        traceback.print_exc()
        results.save_failure(name, run, error)
        return False
    taken.save(run)
    return bool(taken.kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
