"""The restore drill: lose a stack entirely, bring it back on another engine from WORM alone: ``make drill [TIMES=10]``.

Each drill places orders, backs up, places a few more, destroys the stack's services, volumes and Pulumi state, and
brings it back on a second, separate engine with the commands of a new installation. It then looks for every order that
was acknowledged before the backup, and prints RTO (from the loss to the last of those orders read through the front
door) and RPO (from the backup's beginning to the loss). The next drill destroys that one. Afterwards `make dev` brings
the stack back where it was, from WORM too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from commands.recover import RecoverError
from commands.second_engine import EngineError, SecondEngine
from commands.site import CHECKOUT, DrillError, Site, needed
from components.account_place import place_of
from components.incarnation import newest_of
from components.places import ReleaseError

BEFORE, AFTER = 200, 20  # orders placed before and after the backup
# Of `make env`: what the stack is lost with, and what it comes back with.
VARIABLES = ("DOCKER_HOST", "STELE_REGISTRY", "STELE_STORE", "STELE_STORE_ADMIN", "STELE_STORE_PASSAGE")


def log(text: str) -> None:
    """A line of progress."""
    print(f"drill: {text}", file=sys.stderr, flush=True)


class Clock:
    """Steps and how long each took, for the picture at the end."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step and tell it."""
        log(name)
        began = time.monotonic()
        yield
        self.steps[name] = time.monotonic() - began

    @property
    def total(self) -> float:
        return sum(self.steps.values())

    def picture(self) -> str:
        """A bar for each step."""
        longest = max(self.steps.values(), default=1)
        width = max(len(name) for name in self.steps)
        return "\n".join(
            f"  {name:{width}} {took:7.1f} s {'█' * round(40 * took / longest)}" for name, took in self.steps.items()
        )


class Drill:
    """One drill after another, each on a new engine.

    Raises DrillError or EngineError when the stack could not come back: later would be too late.
    """

    def __init__(self, stack: str) -> None:
        SecondEngine.check()
        for name in VARIABLES:
            needed(os.environ, name)
        self.stack = stack
        settings = CHECKOUT / f"Pulumi.{stack}.yaml"
        if not settings.exists():
            raise DrillError(f"stack {stack}: there is no {settings.name} here; pulumi stack ls has those that are")
        config = yaml.safe_load(settings.read_text())["config"]
        if "stele:storage" not in config:
            raise DrillError(f"stack {stack} has no stele:storage: there is nothing to come back from")
        self.storage = str(config["stele:storage"])
        self.folder = CHECKOUT / ".stele" / "drill"
        self.site = Site.own(stack, self.storage)
        self.count = 0

    def engine(self) -> SecondEngine:
        """The next engine."""
        self.count += 1
        name = f"drill-{os.environ.get('STELE_CHECKOUT_ID', 'local')}-{self.count % 2}"
        return SecondEngine(name, self.folder / f"engine-{self.count % 2}", os.environ["STELE_REGISTRY"])

    def once(self, *, move: bool, compare: bool) -> dict[str, Any]:
        """One drill; returns its figures. Raises DrillError when an order is missing that must be there.

        ``move``: the stack is fenced before its last backup, so nothing that was acknowledged may be lost.
        ``compare``: before it comes back, a new installation on an engine of its own, on the same empty machine.
        """
        before, after = self.site.orders("place", BEFORE), []
        if move:
            log(f"{len(before)} orders are acknowledged; fencing")
            self.site.fence()
        log(f"{len(before)} orders are acknowledged; backing up")
        backup = self._backup()
        began = datetime.strptime(backup["name"], "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC).timestamp()
        if not move:
            after = self.site.orders("place", AFTER)
        copied = self._copy(backup["name"]) if compare else 0.0
        log(f"losing everything of {self.stack}")
        self.site.destroy()
        lost = time.time()
        new = self._new_installation().total if compare else 0.0
        clock = Clock()
        loaded = self._come_back(clock, before)
        if loaded["from"] != backup["name"]:
            raise DrillError(f"loaded was {loaded['from']}, not {backup['name']}")
        if move and loaded["window"]:
            raise DrillError(f"the stack was fenced, and yet {loaded['window']} counts as lost")
        print(clock.picture(), file=sys.stderr)
        return {
            "orders": len(before),
            "rto": round(clock.total, 1),
            "rpo": 0 if move else round(lost - began, 1),
            "lost": len(self.site.orders("look", ids=after)),
            "later": len(after),
            "new": round(new, 1),
            "copied": round(copied, 1),
        }

    def _come_back(self, clock: Clock, orders: list[str]) -> dict[str, Any]:
        """Bring the stack back on another engine and find every order; the report of the load."""
        engine = self.engine()
        with clock.step("another host"):
            engine.start()
        self.site = site = Site.fresh(self.stack, self.storage, self.folder / f"site-{self.count % 2}", engine)
        with clock.step("the account is taken over"):
            site.up(self.storage)
            site.configure(self._configuration(site))
        with clock.step("pulumi up"):
            site.up(self.stack)
        with clock.step(f"{len(orders)} orders are read"):
            missing = site.orders("find", ids=orders)
        if missing:
            raise DrillError(f"{len(missing)} of {len(orders)} orders are missing, such as {missing[0]}")
        return dict(site.outputs(self.stack)["backup"]["loaded"])

    def _backup(self) -> dict[str, Any]:
        return dict(json.loads(self.site.runner("backup").strip().splitlines()[-1]))

    def _configuration(self, site: Site) -> dict[str, Any]:
        """The stack's exact settings, from its newest incarnation in the account; its releases are there too."""
        account = place_of(site.outputs(self.storage))
        newest = newest_of(account, self.stack, site.secret("backup-key"))
        if newest is None:
            raise DrillError(f"the account knows no incarnation of {self.stack} that is signed with its backup-key")
        settings = dict(newest[1]["settings"])
        sizing = settings.pop("sizing")
        dropped = ("registry", "restore", "fenced")
        return {key: value for key, value in settings.items() if key not in dropped} | {
            "sizing": sizing,
            "storage": self.storage,
            "vendor": self.storage,
        }

    def _new_installation(self) -> Clock:
        """The same commands for a customer who has no backup yet, on another new engine."""
        clock = Clock()
        engine = self.engine()
        with clock.step("another host"):
            engine.start()
        try:
            releases = Path(os.environ.get("STELE_RELEASES") or CHECKOUT / ".stele" / "releases")
            site = Site.fresh(self.stack, self.storage, self.folder / "site-new", engine, releases)
            with clock.step("the account is opened"):
                path = site.settings(self.storage)  # of a customer who has no backups
                document = yaml.safe_load(path.read_text())
                document["config"] |= {"stele:customer": f"drill-{int(time.time())}", "stele:retention": 1}
                path.write_text(yaml.safe_dump(document))
                site.up(self.storage)
                config = yaml.safe_load(site.settings(self.stack).read_text())["config"]
                plain = {key.removeprefix("stele:"): each for key, each in config.items() if not isinstance(each, dict)}
                site.configure(plain | {"vendor": None})
            with clock.step("pulumi up"):
                site.up(self.stack)
            with clock.step("an order is placed and read"):
                site.orders("find", ids=site.orders("place", 1))
            print(clock.picture(), file=sys.stderr)
        finally:
            engine.remove()
        return clock

    def _copy(self, backup: str) -> float:
        """Seconds to copy the same bytes: every object that the backup needs, read from the account."""
        account = place_of(self.site.outputs(self.storage))
        folder = f"backups/{self.stack}"
        stored = account.oldest(f"{folder}/")
        record = next(key for key in stored if key.startswith(f"{folder}/records/{backup}.verified."))
        needed = json.loads(account.fetch(record, stored[record]))
        began = time.monotonic()
        for path in needed["objects"]:
            key = f"{folder}/{needed['repository']}/{path}"
            account.fetch(key, stored[key])
        return time.monotonic() - began

    def close(self) -> None:
        """Leave nothing running."""
        if self.site.engine is not None:
            self.site.destroy()


def _times(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: 1 or more")
    return int(text)


def main() -> int:
    """1 with one line when a drill fails."""
    parser = argparse.ArgumentParser(
        prog="make drill", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stack", default="dev")
    parser.add_argument("--times", type=_times, default=1)
    parser.add_argument("--compare", action="store_true", help="also a new installation, and a copy of the same bytes")
    parser.add_argument("--move", action="store_true", help="fence the stack before its last backup: nothing is lost")
    arguments = parser.parse_args()
    drill = None
    all_found: list[dict[str, Any]] = []
    try:
        drill = Drill(arguments.stack)
        for number in range(1, arguments.times + 1):
            found = drill.once(move=arguments.move, compare=arguments.compare)
            all_found.append(found)
            print(
                f"drill {number} of {arguments.times}: {found['orders']} of {found['orders']} orders from before the "
                f"backup are there; RTO {found['rto']} s; RPO {found['rpo']} s ({found['lost']} of {found['later']} "
                "later orders lost)",
                flush=True,
            )
        if arguments.compare:
            rto, new, copied = (median(found[key] for found in all_found) for key in ("rto", "new", "copied"))
            print(
                f"medians of {arguments.times}: RTO {rto:.1f} s; new installation {new:.1f} s, copy of the same bytes "
                f"{copied:.1f} s: RTO / both {rto / (new + copied):.2f}"
            )
    except (DrillError, EngineError, RecoverError, ReleaseError) as error:
        print(f"drill: {error}", file=sys.stderr)
        return 1
    finally:
        if drill is not None:
            drill.close()
            print("drill: make dev brings the stack back on its own engine, from WORM too", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
