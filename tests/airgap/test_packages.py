"""Which plugins the installed packages call for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airgap.language_host.packages import installed, plugin_version, required_plugins


@pytest.mark.parametrize(
    ("python", "plugin"),
    [
        ("5.2.0", "5.2.0"),
        ("1", "1.0.0"),
        ("1.2", "1.2.0"),
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3a4", "1.2.3-alpha.4"),
        ("1.2.3b4", "1.2.3-beta.4"),
        ("1.2rc4", "1.2.0-rc.4"),
        ("1.2.3.post4", "1.2.3+post4"),
        ("1.2.3.post4.dev5", "1.2.3+post4dev5"),
        ("1.2.3.dev5", "1.2.3+dev5"),
    ],
)
def test_python_versions_become_semantic_ones(python: str, plugin: str) -> None:
    assert plugin_version(python) == plugin


@pytest.mark.parametrize("version", ["", "1!2.0", "one", "1.2.3+local", "1.2-3"])
def test_a_version_without_a_plugin_version_has_none(version: str) -> None:
    assert plugin_version(version) is None


def _install(site: Path, name: str, version: str, declaration: dict[str, object] | None = None) -> None:
    (site / f"{name}-{version}.dist-info").mkdir(parents=True)
    if declaration is not None:
        (site / name).mkdir()
        (site / name / "pulumi-plugin.json").write_text(json.dumps(declaration))


def _required(*folders: Path) -> list[tuple[str, str, str]]:
    return [(p.name, p.version, p.server) for p in required_plugins(installed(folders))]


def test_a_declaration_names_the_plugin(tmp_path: Path) -> None:
    _install(tmp_path, "acme_cloud", "9.9", {"resource": True, "name": "cloud", "version": "1.4.0", "server": "s"})
    assert _required(tmp_path) == [("cloud", "v1.4.0", "s")]


def test_a_declaration_without_name_and_version_falls_back_to_the_package(tmp_path: Path) -> None:
    _install(tmp_path, "pulumi_cloud", "2.0rc1", {"resource": True})
    assert _required(tmp_path) == [("cloud", "v2.0.0-rc.1", "")]


def test_packages_without_a_plugin_are_left_out(tmp_path: Path) -> None:
    _install(tmp_path, "pulumi_library", "1.0", {"resource": False})
    _install(tmp_path, "pulumi_policy", "1.21.0")
    _install(tmp_path, "pulumi", "3.256.0")
    _install(tmp_path, "requests", "2.0")
    assert _required(tmp_path) == []


def test_an_old_package_without_declaration_is_known_by_its_name(tmp_path: Path) -> None:
    _install(tmp_path, "pulumi_old_one", "1.2.3")
    assert _required(tmp_path) == [("old-one", "v1.2.3", "")]


def test_the_first_folder_wins_as_it_does_for_an_import(tmp_path: Path) -> None:
    _install(tmp_path / "first", "pulumi_cloud", "1.0.0", {"resource": True})
    _install(tmp_path / "second", "pulumi_cloud", "2.0.0", {"resource": True})
    assert _required(tmp_path / "first", tmp_path / "missing", tmp_path / "second") == [("cloud", "v1.0.0", "")]
