"""Each listed behaviour of object lock, tried on the real store behind its door; listed differences are asserted."""

from __future__ import annotations

import pytest

from .behaviour import Behaviour
from .behaviours import BEHAVIOURS
from .conftest import Gateway
from .world import World


@pytest.fixture(scope="module")
def world(gateway: Gateway) -> World:
    return World(gateway)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda each: f"{each.who}: {each.says}")
def test_the_store_does_as_listed(world: World, behaviour: Behaviour) -> None:
    assert behaviour.run(world, behaviour.who) == behaviour.here


def test_no_listed_difference_is_none() -> None:
    assert [each.says for each in BEHAVIOURS if each.but and each.but.seen == each.expected] == []
