"""What is checked against the stack's data and its backups before anything is declared."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.backup_status import OTHER_KEY, Status
from components.manifest import Manifest, manifest_of
from components.resolution import check_backups, check_schema
from components.settings import EnvironmentSettings, SettingsError, parse
from tests.unit.releases import with_runner

NAMES = tuple(f"2026-11-{day}T02-00-00Z" for day in range(18, 26))


def settings(**values: str) -> EnvironmentSettings:
    parsed = parse(
        {"version": "1.0.0", "storage": "acme"} | values,
        defaults={"registry": "registry:5000", "releases": "/releases"},
    )
    assert isinstance(parsed, EnvironmentSettings)
    return parsed


def manifest(needs: int, oldest: int) -> Manifest:
    return manifest_of({"content": with_runner("1.0.0", data={"needs": needs, "oldest": oldest}), "provenance": {}})


def status(**changed: Any) -> Status:
    return Status(**({"health": "green", "reason": "", "last": NAMES[-1], "backups": NAMES} | changed))


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")


def test_a_revert_that_the_data_cannot_follow_names_the_way_that_does_work() -> None:
    with pytest.raises(SettingsError) as refused:
        check_schema(settings(), manifest(2, 1), {"schema": 3.0})  # as the state holds numbers
    assert str(refused.value).startswith("stele:version: '1.0.0' is not allowed; allowed: one that runs on schema 3,")
    assert "(this one needs 2)" in str(refused.value)
    assert "in a stack of its own, with restore: dev/<backup from before>" in str(refused.value)


def test_data_that_is_too_old_names_what_to_deploy_first() -> None:
    with pytest.raises(SettingsError, match=r"one that starts from schema 1 \(this one from 2\); deploy it first"):
        check_schema(settings(), manifest(3, 2), {"schema": 1.0})


@pytest.mark.parametrize("at", [2.0, 3.0])
def test_data_between_the_oldest_and_what_is_needed_is_taken(at: float) -> None:
    check_schema(settings(), manifest(3, 2), {"schema": at})


@pytest.mark.parametrize("before", [{}, {"schema": None}])
def test_a_stack_that_never_said_where_its_data_is_is_left_to_the_runner(before: dict[str, Any]) -> None:
    check_schema(settings(), manifest(3, 2), before)


def test_an_unknown_backup_lists_the_last_ones() -> None:
    with pytest.raises(SettingsError) as refused:
        check_backups(settings(restore="2026-01-01T02-00-00Z"), status(), new=False)
    assert str(refused.value).endswith(f"the last ones: {', '.join(NAMES[-5:])}")
    with pytest.raises(SettingsError, match=r"the last ones: none yet$"):
        check_backups(settings(restore="2026-01-01T02-00-00Z"), status(last=None, backups=()), new=False)


@pytest.mark.parametrize("restore", ["newest", "vanilla", NAMES[0], f"old/{NAMES[0]}", "old/newest"])
def test_what_is_there_can_be_asked_for(restore: str) -> None:
    check_backups(settings(restore=restore), status(), new=True)


def test_newest_of_a_stack_without_backups_is_refused_and_ones_own_is_the_vanilla_one() -> None:
    nothing = status(last=None, backups=NAMES[:1])  # the one that there is has failed
    with pytest.raises(SettingsError, match=r"one that has verified backups in this account, not old$"):
        check_backups(settings(restore="old/newest"), nothing, new=True)
    check_backups(settings(restore="newest"), nothing, new=True)


def test_a_store_that_is_down_stops_a_new_stack_and_not_one_that_runs() -> None:
    down = status(last=None, backups=(), store="http://store: the store does not answer")
    with pytest.raises(SettingsError, match=r"stele:storage: 'acme' .* answers .http://store: the store does not"):
        check_backups(settings(), down, new=True)
    check_backups(settings(), down, new=False)
    # What was asked for by name cannot be looked up.
    with pytest.raises(SettingsError, match="stele:storage: 'acme'"):
        check_backups(settings(restore=NAMES[0]), down, new=False)


@pytest.mark.parametrize(
    ("restore", "mend"),
    [
        (f"old/{NAMES[0]}", "of old were made with; pulumi config get backup-key -s old | "),
        ("old/newest", "of old were made with; pulumi config get backup-key -s old | "),
        (NAMES[0], "of dev were made with; set it: "),
        (f"dev/{NAMES[0]}", "of dev were made with; set it: "),
    ],
)
def test_a_wrong_key_is_told_as_such_with_the_way_to_the_right_one(restore: str, mend: str) -> None:
    nothing = status(health="yellow", reason=OTHER_KEY, last=None, backups=())
    with pytest.raises(SettingsError) as refused:
        check_backups(settings(restore=restore), nothing, new=True)
    assert str(refused.value) == (
        "stele:backup-key: '(secret)' is not allowed; allowed: the one that the backups "
        f"{mend}pulumi config set --secret backup-key -s dev"
    )


@pytest.mark.parametrize("restore", ["vanilla", "newest"])
def test_a_wrong_key_stops_no_beginning_without_backups(restore: str) -> None:
    nothing = status(health="yellow", reason=OTHER_KEY, last=None, backups=())
    check_backups(settings(restore=restore), nothing, new=True)
