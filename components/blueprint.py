"""The runtime template as it is written in ``runtimes/``: families, and the runtimes of a product."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.boundary import CHECKOUT
from components.manifest import FIRST_SCHEMA
from components.recipe import Capture, Recipe, RecipeError, recipe_of
from components.settings import NAME

RUNTIMES = CHECKOUT / "runtimes"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of the template: its folder, ``recipe`` (how containers are started and wired) and ``core`` (the
    framework inside) versions, and what a runtime's recipe inherits."""

    name: str
    folder: Path
    recipe_version: str
    core: str
    defaults: Mapping[str, Any]

    @property
    def tag(self) -> str:
        """The template image's tag, ``<recipe>-<core>``."""
        return f"{self.recipe_version}-{self.core}"


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """One runtime of a product: its folder (flows and layer-4 configuration), family and recipe."""

    name: str
    folder: Path
    family: str
    recipe: Recipe


def _yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        raise RecipeError(f"{path.relative_to(CHECKOUT)}: missing; see runtimes/README.md") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: not a mapping; see runtimes/README.md for the keys")
    return value


@dataclass(frozen=True, kw_only=True)
class Template:
    """The runtime template as a whole: a new ``version`` regenerates the image of every runtime; ``epoch`` (seconds
    since 1970, as text) is the date of everything inside an image, so that the same inputs give the same digest."""

    version: str
    epoch: str


def template() -> Template:
    """Read ``runtimes/template.yaml``."""
    plain = _yaml(RUNTIMES / "template.yaml")
    for key in ("version", "epoch"):
        if key not in plain:
            raise RecipeError(f"runtimes/template.yaml: {key} is not set; see runtimes/README.md")
    return Template(version=str(plain["version"]), epoch=str(plain["epoch"]))


def family(name: str) -> Family:
    """Read ``runtimes/<name>/template.yaml``."""
    plain = _yaml(RUNTIMES / name / "template.yaml")
    for key in ("recipe", "core"):
        if key not in plain:
            raise RecipeError(f"runtimes/{name}/template.yaml: {key} is not set; see runtimes/README.md")
    return Family(
        name=name,
        folder=RUNTIMES / name,
        recipe_version=str(plain.pop("recipe")),
        core=str(plain.pop("core")),
        defaults=plain,
    )


def data_schema(product: str) -> dict[str, int]:
    """The database schema that a product's release needs, and the oldest it starts from (``product.yaml``)."""
    path = RUNTIMES / product / "product.yaml"
    if not path.exists():
        return dict(FIRST_SCHEMA)
    schema = _yaml(path).get("schema")
    given = schema if isinstance(schema, dict) else {}
    needs, oldest = given.get("needs"), given.get("oldest")
    if len(given) != 2 or type(needs) is not int or type(oldest) is not int or not 1 <= oldest <= needs:
        raise RecipeError(
            f"runtimes/{product}/product.yaml: schema: {schema!r} is not allowed; allowed: "
            "{needs: N, oldest: M}, whole numbers from 1, oldest not above needs"
        )
    return {"needs": needs, "oldest": oldest}


NAME_LENGTH = 26  # <stack of 20>-<runtime>-gate-<hash of 10> must fit into the engine's 63


def blueprints(product: str) -> dict[str, Blueprint]:
    """Every runtime of a product, by name: each folder of ``runtimes/<product>/`` that has a ``runtime.yaml``."""
    found = {path.parent.name: path.parent for path in sorted((RUNTIMES / product).glob("*/runtime.yaml"))}
    if not found:
        raise RecipeError(f"stele:product: {product!r} has no runtime; expected runtimes/{product}/<name>/runtime.yaml")
    for name, folder in found.items():
        if not NAME.fullmatch(name) or len(name) > NAME_LENGTH:
            raise RecipeError(
                f"{folder.relative_to(CHECKOUT)}: {name!r} is not allowed as a runtime's name; allowed: lower-case "
                f"letters, digits and hyphens, starting with a letter, at most {NAME_LENGTH} characters"
            )
    blueprints = {name: _blueprint(name, folder) for name, folder in found.items()}
    _check_together(product, blueprints)
    return blueprints


def _check_together(product: str, blueprints: Mapping[str, Blueprint]) -> None:
    """What only shows when all runtimes of a product are seen: unknown neighbours, two of what there may be one of."""
    for name, blueprint in blueprints.items():
        for need in blueprint.recipe.needs:
            if need not in blueprints:
                raise RecipeError(
                    f"runtimes/{product}/{name}/runtime.yaml: needs: {need!r} is not a runtime of {product}; "
                    f"allowed: {', '.join(blueprints)}"
                )
    doors = [name for name, blueprint in blueprints.items() if blueprint.recipe.front]
    if len(doors) > 1:
        raise RecipeError(f"runtimes/{product}: {' and '.join(doors)} are both `front: true`; allowed: one front door")
    recipes = {name: blueprint.recipe for name, blueprint in blueprints.items()}
    runners = [name for name, recipe in recipes.items() if recipe.tasks]
    if len(runners) > 1:
        raise RecipeError(f"runtimes/{product}: {' and '.join(runners)} are both `tasks: true`; allowed: one of them")
    for kind in (Capture.DATABASE, Capture.MESSAGES) if runners else ():  # the runner knows one of each
        owners = [name for name, recipe in recipes.items() if recipe.volume is not None and recipe.capture is kind]
        if len(owners) > 1:
            raise RecipeError(f"runtimes/{product}: {' and '.join(owners)} are both `capture: {kind}`; allowed: one")


def _blueprint(name: str, folder: Path) -> Blueprint:
    source = str((folder / "runtime.yaml").relative_to(CHECKOUT))
    plain = _yaml(folder / "runtime.yaml")
    if "family" not in plain:
        raise RecipeError(f"{source}: family is not set; one of the folders of runtimes/ with a template.yaml")
    kin = str(plain.pop("family"))
    return Blueprint(name=name, folder=folder, family=kin, recipe=recipe_of(source, plain, family(kin).defaults))


def is_debris(path: Path) -> bool:
    """What Python and editors leave behind: no input of anything."""
    return "__pycache__" in path.parts or path.name.endswith(("~", ".swp", ".pyc"))


def tree_hash(*paths: Path) -> str:
    """``sha256:<hex>`` of files and folders: relative names, executable bits and contents; never times or owners."""
    digest = hashlib.sha256()
    for top in paths:
        files = (
            [top]
            if top.is_file()
            else sorted(path for path in top.rglob("*") if path.is_file() and not is_debris(path))
        )
        for path in files:
            name = path.name if path == top else path.relative_to(top).as_posix()
            content = path.read_bytes()
            digest.update(f"{name}\0{bool(path.stat().st_mode & 0o100):d}\0{len(content)}\0".encode())
            digest.update(content)
    return "sha256:" + digest.hexdigest()
