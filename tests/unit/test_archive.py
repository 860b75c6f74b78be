"""The same tree gives the same tar, whoever packs it where; a backup that nothing can load is refused."""

import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from components import archive
from components.archive import archives_of, pack
from components.blueprint import blueprints, template
from components.recipe import RecipeError


@pytest.fixture
def runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which product `orders` has a vanilla backup of two files; its runtimes are the real ones."""
    made = tmp_path / "runtimes"
    (made / "orders/vanilla/database/sub").mkdir(parents=True)
    (made / "orders/vanilla/database/sub/b.sql").write_text("select 2;")
    (made / "orders/vanilla/database/a").write_text("#!/bin/sh")
    (made / "orders/vanilla/database/a").chmod(0o755)
    monkeypatch.setattr(archive, "RUNTIMES", made)
    return made


def test_a_tar_depends_on_content_alone(runtimes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = archives_of("orders", blueprints("orders"))
    elsewhere = tmp_path / "elsewhere"
    for name in ("sub/b.sql", "a"):  # written in another order, at another time, with another umask
        target = elsewhere / "orders/vanilla/database" / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(runtimes / "orders/vanilla/database" / name, target)
        target.chmod(0o700 if name == "a" else 0o600)
        os.utime(target, (1, 1))
    (elsewhere / "orders/vanilla/database/empty").mkdir()  # git would not have it
    (elsewhere / "orders/vanilla/database/a~").touch()
    monkeypatch.setattr(archive, "RUNTIMES", elsewhere)
    assert archives_of("orders", blueprints("orders")) == first


def test_a_tar_holds_the_tree(runtimes: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack("orders", "vanilla"))) as tar:
        found = {entry.name: (entry.isdir(), entry.mode, entry.mtime, entry.uid, entry.uname) for entry in tar}
        content = {entry.name: opened.read() for entry in tar if (opened := tar.extractfile(entry))}
    date = int(template().epoch)
    assert list(found) == ["database", "database/a", "database/sub", "database/sub/b.sql"]
    assert found["database"] == (True, 0o755, date, 0, "")
    assert found["database/a"] == (False, 0o755, date, 0, "")
    assert found["database/sub/b.sql"] == (False, 0o644, date, 0, "")
    assert content == {"database/a": b"#!/bin/sh", "database/sub/b.sql": b"select 2;"}


def test_another_content_or_mode_is_another_tar(runtimes: Path) -> None:
    first = pack("orders", "vanilla")
    (runtimes / "orders/vanilla/database/a").chmod(0o644)
    second = pack("orders", "vanilla")
    (runtimes / "orders/vanilla/database/a").write_text("#!/bin/bash")
    assert len({first, second, pack("orders", "vanilla")}) == 3


def test_the_sample_product_has_a_backup_of_its_database() -> None:
    found = archives_of("orders", blueprints("orders"))
    with tarfile.open(fileobj=io.BytesIO(found["vanilla"])) as tar:
        assert tar.getnames() == ["database", "database/database.sql"]
    assert found.keys() == {"vanilla"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "vanilla/intake/x",
            r"orders/vanilla/intake: is not allowed; allowed: a folder .* with a volume \(.*database.*\)$",
        ),
        ("vanilla/nobody/x", "orders/vanilla/nobody: is not allowed"),
        ("vanilla/README.md", "orders/vanilla/README.md: is not allowed"),
    ],
)
def test_a_backup_that_nothing_can_load_is_refused(runtimes: Path, path: str, said: str) -> None:
    (runtimes / "orders" / path).parent.mkdir(exist_ok=True)
    (runtimes / "orders" / path).touch()
    with pytest.raises(RecipeError, match=said):
        archives_of("orders", blueprints("orders"))


def test_a_link_is_refused(runtimes: Path) -> None:
    (runtimes / "orders/vanilla/database/link").symlink_to("/etc/passwd")
    with pytest.raises(RecipeError, match="vanilla/database/link: is not allowed in an archive"):
        archives_of("orders", blueprints("orders"))


def test_no_runtime_takes_the_name_of_an_archive(runtimes: Path) -> None:
    found = blueprints("orders")
    with pytest.raises(RecipeError, match="orders/files: is not allowed as a runtime's name"):
        archives_of("orders", found | {"files": found["database"]})
