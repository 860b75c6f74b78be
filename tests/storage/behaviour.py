"""A behaviour of object lock as data, and the ways to try one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .world import DONE, Who, World, until

COMPLIANCE, GOVERNANCE = "COMPLIANCE", "GOVERNANCE"
UNDATED = "NoSuchObjectLockConfiguration"


@dataclass(frozen=True)
class Difference:
    """What the store does instead, until versitygw or the door changes, and what that means for what is stored."""

    seen: str
    means: str


@dataclass(frozen=True)
class Behaviour:
    """`says` is AWS's, on `page`; `run` answers what the store does, `expected` what AWS would."""

    says: str
    page: str
    who: Who
    expected: str
    run: Callable[[World, Who], str]
    but: Difference | None = None

    @property
    def here(self) -> str:
        """What is to be seen on this store."""
        return self.but.seen if self.but else self.expected


def tries(call: str, where: Callable[[World], dict[str, Any]], **arguments: Any) -> Callable[[World, Who], str]:
    """He tries a call on something new."""
    return lambda world, who: world.tries(who, call, **where(world), **arguments)


def deletes(where: Callable[[World], dict[str, str]], *, bypass: bool = False) -> Callable[[World, Who], str]:
    """A deletion of a version; where it is refused, the version is as it was."""

    def run(world: World, who: Who) -> str:
        victim = where(world)
        header = {"BypassGovernanceRetention": True} if bypass else {}
        seen = world.tries(who, "delete_object", **victim, **header)
        return seen if seen == DONE or world.intact(victim) else "lost"

    return run


def dates(
    where: Callable[[World], dict[str, str]], mode: str, days: float, *, bypass: bool = False
) -> Callable[[World, Who], str]:
    """Another date for a version; where it is refused, the date is as it was."""

    def run(world: World, who: Who) -> str:
        victim = where(world)
        before = world.mode(victim), world.mode(victim) != UNDATED and world.date(victim)
        date = {"Mode": mode, "RetainUntilDate": until(days)}
        header = {"BypassGovernanceRetention": True} if bypass else {}
        seen = world.tries(who, "put_object_retention", **victim, Retention=date, **header)
        after = world.mode(victim), world.mode(victim) != UNDATED and world.date(victim)
        return seen if (seen == DONE) == (before != after) else "lost"

    return run


def held(bucket: str, mode: str = COMPLIANCE) -> Callable[[World], dict[str, str]]:
    return lambda world: world.held(getattr(world, bucket), mode)


def written_in(bucket: str) -> Callable[[World], dict[str, str]]:
    """A new version without a date of its own."""
    return lambda world: world.put(getattr(world, bucket))


def new(*, lock: bool = True) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"Bucket": world.new_bucket(lock=lock)}


def configures(**lock: Any) -> Callable[[World, Who], str]:
    return tries("put_object_lock_configuration", new(), ObjectLockConfiguration=lock)


def writes(bucket: str, **arguments: Any) -> Callable[[World, Who], str]:
    return lambda world, who: world.tries(
        who, "put_object", Bucket=getattr(world, bucket), Key="written", Body=b"", **arguments
    )


def hold(world: World, status: str, **where: str) -> None:
    world.admin.put_object_legal_hold(**where, LegalHold={"Status": status})


def on_hold(where: Callable[[World], dict[str, str]], *statuses: str) -> Callable[[World], dict[str, str]]:
    """Something on which legal holds were placed or lifted, in this order."""

    def run(world: World) -> dict[str, str]:
        version = where(world)
        for status in statuses:
            hold(world, status, **version)
        return version

    return run
