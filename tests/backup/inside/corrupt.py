"""Damages a stored backup in the store's own files, and asks the runner whether it notices: ``corrupt.py SEED COUNT``.

Runs as root in the task runner's image, with the store's folder of the bucket at /bucket. Damage is done in rounds, to
some objects at once; the runner must count every damaged object, and the undamaged backup is accepted after each tenth
round. Prints one line for each kind of damage and one for all.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, "/opt/stele/lib")
from runner import settings as configured
from runner.files import empty
from runner.problem import Problem
from runner.repository import Backups
from runner.serve import open_passage
from runner.settings import DATA
from runner.store import Store
from runner.verify import checked

SCRATCH = DATA / "corrupting"


def put(path: Path, content: bytes) -> None:
    """In place: what the store keeps beside an object, its attributes, stays."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


def flip(path: Path, dice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    put(path, bytes(content))


def truncate(path: Path, dice: random.Random) -> None:
    put(path, path.read_bytes()[: dice.randrange(path.stat().st_size)])


def remove(path: Path, _dice: random.Random) -> None:
    path.unlink()


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "flipped": flip,
    "truncated": truncate,
    "missing": remove,
}


class Corruptor:
    """One backup, its objects as they were, and how each is put back."""

    def __init__(self, dice: random.Random) -> None:
        settings = configured.load()
        self.dice = dice
        self.backups = Backups(Store(settings.storage), settings.stack)
        self.record = list(self.backups.records().values())[-1]
        self.bucket = Path("/bucket/backups") / settings.stack
        self.folder = self.bucket / self.record["repository"]
        self.paths = sorted(self.record["objects"])
        shutil.copytree(self.bucket, "/tmp/good", symlinks=True)
        self.attributes = {path: _attributes(self.folder / path) for path in self.paths}
        self.done: Counter[str] = Counter()
        self.missed: list[str] = []

    def whole(self) -> None:
        """As it is, it is accepted: fetched, unpacked, and every file what was noted."""
        self.backups.fetch(self.record, empty(SCRATCH / "repository"))
        self.backups.unpack(self.record, SCRATCH / "repository", empty(SCRATCH / "tree"))
        checked(SCRATCH / "tree", self.record)

    def round(self, most: int) -> None:
        """Damage some objects, never the same twice, and ask."""
        chosen = self.dice.sample(self.paths, self.dice.randint(1, min(most, len(self.paths))))
        harmed: list[str] = []
        while chosen:
            path = chosen.pop()
            kind = self.dice.choice([*KINDS, "swapped"] if chosen else list(KINDS))
            self.done[kind] += 1
            harmed.append(path)
            if kind == "swapped":
                other = chosen.pop()
                harmed.append(other)
                one, two = (self.folder / path).read_bytes(), (self.folder / other).read_bytes()
                put(self.folder / path, two)
                put(self.folder / other, one)
            else:
                KINDS[kind](self.folder / path, self.dice)
        found, reason = 0, "accepted"
        try:
            self.whole()
        except Problem as problem:
            said = re.search(r": (\d+) of \d+ objects are missing or damaged", str(problem))
            found = int(said[1]) if said else 0
            reason = str(problem)
        if found != len(harmed):
            self.missed.append(f"{harmed}: {found} seen: {reason}")
        self.mend(harmed)

    def mend(self, paths: list[str]) -> None:
        for path in paths:
            target = self.folder / path
            if not target.exists():
                target.touch()
                for name, value in self.attributes[path].items():
                    os.setxattr(target, name, value)
            put(target, (Path("/tmp/good") / self.record["repository"] / path).read_bytes())


def _attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def main(seed: int, count: int) -> int:
    # The store, on the host, has a loopback that this container has not.
    open_passage(configured.load().storage["endpoint"])
    corruptor = Corruptor(random.Random(seed))
    corruptor.whole()
    rounds = 0
    while (done := corruptor.done.total()) < count:
        corruptor.round(min(1 if rounds % 4 == 0 else len(corruptor.paths), count - done))
        rounds += 1
        if rounds % 10 == 0:
            corruptor.whole()
    corruptor.whole()
    shutil.rmtree(SCRATCH)
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(corruptor.done.items()))
    print(f"seed {seed}: {kinds}; {rounds} rounds over {len(corruptor.paths)} objects")
    for line in corruptor.missed:
        print(f"missed: {line}")
    print(f"{count - len(corruptor.missed)} of {count} detected")
    return bool(corruptor.missed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
