"""What only shows in ``runtimes/`` as a whole: the data's schema, and what there may be one of."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components import blueprint
from components.blueprint import blueprints, data_schema
from components.recipe import RecipeError
from tests.unit.releases import WIRING


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a product without anything yet, and a family for its runtimes."""
    monkeypatch.setattr(blueprint, "CHECKOUT", tmp_path)
    monkeypatch.setattr(blueprint, "RUNTIMES", tmp_path / "runtimes")
    family = {"recipe": 1, "core": "none"} | WIRING
    _write(tmp_path / "runtimes/plain/template.yaml", family)
    folder = tmp_path / "runtimes/shop"
    folder.mkdir()
    return folder


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value))


def test_a_product_that_says_nothing_is_at_the_first_schema(product: Path) -> None:
    assert data_schema("shop") == {"needs": 1, "oldest": 1}


def test_what_a_product_declares_is_what_its_release_needs(product: Path) -> None:
    _write(product / "product.yaml", {"schema": {"needs": 7, "oldest": 5}})
    assert data_schema("shop") == {"needs": 7, "oldest": 5}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"schema": None},
        {"schema": 2},
        {"schema": {"needs": 2}},
        {"schema": {"needs": 2, "oldest": 3}},
        {"schema": {"needs": 2, "oldest": 0}},
        {"schema": {"needs": True, "oldest": True}},  # numbers to Python, and a slip of the pen
        {"schema": {"needs": "2", "oldest": "1"}},
        {"schema": {"needs": 2.0, "oldest": 1.0}},
        {"schema": {"needs": 2, "oldest": 1, "newest": 3}},
    ],
)
def test_any_other_schema_is_refused_with_its_file(product: Path, value: object) -> None:
    _write(product / "product.yaml", value)
    with pytest.raises(
        RecipeError, match=r"^runtimes/shop/product\.yaml: schema: .* is not allowed; allowed: {needs: N"
    ):
        data_schema("shop")


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"front": True}, "one and two are both `front: true`; allowed: one front door"),
        ({"tasks": True}, "one and two are both `tasks: true`; allowed: one"),
        ({"volume": "/data", "capture": "database"}, "one and two are both `capture: database`; allowed: one"),
        ({"volume": "/data", "capture": "messages"}, "one and two are both `capture: messages`; allowed: one"),
    ],
)
def test_there_is_one_door_one_runner_and_one_of_what_it_captures(
    product: Path, own: dict[str, object], told: str
) -> None:
    for name in ("one", "two"):
        _write(product / name / "runtime.yaml", {"family": "plain"} | own)
    if "tasks" not in own:
        _write(product / "runner/runtime.yaml", {"family": "plain", "tasks": True})
    with pytest.raises(RecipeError, match=f"^runtimes/shop: {told}"):
        blueprints("shop")


@pytest.mark.parametrize("own", [{"volume": "/data", "capture": "files"}, {"capture": "database"}])
def test_files_and_what_keeps_nothing_may_be_many(product: Path, own: dict[str, object]) -> None:
    for name in ("one", "two"):
        _write(product / name / "runtime.yaml", {"family": "plain"} | own)
    _write(product / "runner/runtime.yaml", {"family": "plain", "tasks": True})
    assert blueprints("shop").keys() == {"one", "two", "runner"}


def test_without_a_runner_nobody_captures_anything(product: Path) -> None:
    for name in ("one", "two"):
        _write(product / name / "runtime.yaml", {"family": "plain", "volume": "/data", "capture": "database"})
    assert blueprints("shop").keys() == {"one", "two"}
