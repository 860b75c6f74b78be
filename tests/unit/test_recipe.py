"""A recipe is read strictly: a slip of the pen must not become a runtime without its volume."""

from __future__ import annotations

from typing import Any

import pytest

from components.recipe import Capture, RecipeError, recipe_of
from tests.unit.releases import WIRING


def test_a_runtime_lies_over_its_family() -> None:
    recipe = recipe_of("here", {"health": {"window": 7}}, WIRING)
    assert (recipe.health.window, recipe.health.interval) == (7, 1)


def test_what_the_manifest_holds_is_read_back_unchanged() -> None:
    recipe = recipe_of("here", WIRING)
    assert recipe_of("manifest", recipe.to_json()) == recipe


def test_what_came_later_is_left_out_at_its_default_and_kept_otherwise() -> None:
    # Releases from before there were backups must keep their digest, and runtimes of today theirs.
    assert recipe_of("here", WIRING).to_json() == WIRING
    later = WIRING | {"volume": "/data", "capture": "database", "tasks": True}
    recipe = recipe_of("here", later)
    assert recipe.to_json() == later
    assert (recipe.capture, recipe.tasks) == (Capture.DATABASE, True)


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"capture": "snapshot"}, "capture: 'snapshot' is not allowed; allowed: database, messages, files"),
        ({"capture": None}, "capture: None is not allowed"),
        ({"volumes": "/data"}, "volumes is not a key"),
        ({"needs": "broker"}, "needs: 'broker' is not allowed"),
        ({"volume": "data"}, "volume: 'data' is not allowed"),
        ({"sizing": {"XL": {"memory": 1, "cpus": 1, "replicas": 1}}}, "'XL' is not a valid Size"),
        ({"sizing": {"S": {"memory": "1G"}}}, "S.memory: '1G' is not allowed"),
        ({"secrets": ["license"]}, "secrets: 'license' is not allowed"),
        ({"health": {"window": 7.5}}, "health.window: 7.5 is not allowed"),
        ({"health": {"window": "soon"}}, "health.window: 'soon' is not allowed"),
        ({"stop": {"patience": 3}}, "patience"),
        ({"sizing": None}, "here: "),
    ],
)
def test_what_is_not_allowed_is_named_with_its_file(own: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=r"^here: ") as refused:
        recipe_of("here", own, WIRING)
    assert told in str(refused.value)
