"""The settings: what is accepted means what it says; what is not is one line with key, value and what is allowed."""

import json
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.settings import (
    ENVIRONMENT_KEYS,
    VERSION,
    EnvironmentSettings,
    Exposure,
    ReleaseSettings,
    SettingsError,
    Size,
    parse,
)

DEFAULTS = {"registry": "127.0.0.1:5001", "releases": "/releases"}
PASSWORDS = {"database-password": "correct-horse", "broker-password": "battery-staple"}
MINIMAL = {"version": "1.0.0", **PASSWORDS}

versions = st.tuples(*[st.integers(0, 999_999)] * 3).map(lambda parts: ".".join(map(str, parts)))
names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


def environment(**values: str) -> EnvironmentSettings:
    settings = parse(MINIMAL | {key.replace("_", "-"): value for key, value in values.items()}, defaults=DEFAULTS)
    assert isinstance(settings, EnvironmentSettings)
    return settings


def test_the_least_that_an_environment_needs() -> None:
    settings = environment()
    assert (settings.version, settings.port, settings.exposure) == ("1.0.0", 8080, Exposure.LOOPBACK)
    assert settings.runtimes is None
    assert settings.size_of("anything") is Size.S


def test_a_release_stack_needs_no_secrets() -> None:
    settings = parse({"kind": "release", "version": "2.0.0", "name": "granite"}, defaults=DEFAULTS)
    assert settings == ReleaseSettings(
        version="2.0.0", name="granite", product="orders", registry="127.0.0.1:5001", releases="/releases"
    )


@given(versions)
def test_every_three_part_version_is_accepted(version: str) -> None:
    assert environment(version=version).version == version


@given(st.text().filter(lambda text: not VERSION.fullmatch(text)))
def test_any_other_version_is_refused_with_its_value(version: str) -> None:
    with pytest.raises(SettingsError) as refused:
        environment(version=version)
    assert repr(version) in str(refused.value)


@given(st.lists(names, min_size=1, unique=True))
def test_active_runtimes_keep_their_order(runtimes: list[str]) -> None:
    assert environment(runtimes=json.dumps(runtimes)).runtimes == tuple(runtimes)


@given(st.dictionaries(names, st.sampled_from(list(Size))), st.sampled_from(list(Size)))
def test_a_runtime_without_its_own_size_gets_the_default(sizes: dict[str, Size], default: Size) -> None:
    settings = environment(sizing=json.dumps(sizes | {"default": default}))
    for name, size in sizes.items():
        assert settings.size_of(name) is (default if name == "default" else size)
    assert settings.size_of("not-among-them") is default


@given(st.sampled_from(sorted(ENVIRONMENT_KEYS)), st.text(max_size=40))
def test_any_text_is_either_accepted_or_refused_by_name(key: str, value: str) -> None:
    try:
        parse(MINIMAL | {key: value}, defaults=DEFAULTS)
    except SettingsError as error:
        told = str(error)
    else:
        return
    assert told.startswith(f"stele:{key}: ")
    assert "allowed: " in told


@given(st.text(alphabet=string.ascii_letters, min_size=1, max_size=12))
def test_an_unknown_key_is_refused_and_the_known_ones_listed(key: str) -> None:
    if key in ENVIRONMENT_KEYS or key == "kind":
        return
    with pytest.raises(SettingsError, match=f"stele:{key}: .*unknown key.*sizing"):
        parse(MINIMAL | {key: "1"}, defaults=DEFAULTS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vendor", "No Stack"),
        ("version", "1.0"),
        ("version", "1.0.0-rc1"),
        ("version", "01.0.0"),
        ("port", "0"),
        ("port", "65536"),
        ("port", "29500"),
        ("port", "\uff18\uff10"),
        ("port", "8080.0"),
        ("sizing", "XL"),
        ("sizing", '{"default": "XL"}'),
        ("sizing", '["S"]'),
        ("runtimes", "[]"),
        ("runtimes", '["intake", "intake"]'),
        ("runtimes", "intake"),
        ("dns", '["UPPER.example"]'),
        ("dns", '["a..b"]'),
        ("dns", '["a", "a"]'),
        ("exposure", "public"),
        ("window", "4"),
        ("registry", "https://registry"),
        ("kind", "stack"),
        ("storage", "Acme"),
        ("storage", "acme/storage"),
        ("restore", "yesterday"),
        ("restore", "2026-11-25"),
        ("restore", "2026-11-25T02:00:00Z"),
        ("restore", "old/vanilla"),
        ("restore", "old/"),
        ("restore", "/2026-11-25T02-00-00Z"),
        ("restore", "a/b/newest"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../../etc/passwd"),
        ("timezone", "+02:00"),
        ("fenced", "yes"),
        ("fenced", "True"),
    ],
)
def test_values_that_are_not_allowed(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^stele:{key}: .* is not allowed; allowed: "):
        parse(MINIMAL | {key: value}, defaults=DEFAULTS)


def test_without_storage_there_are_no_backups_and_nothing_is_fenced() -> None:
    settings = environment()
    assert (settings.storage, settings.restore, settings.timezone, settings.fenced) == (None, "newest", "UTC", False)


@pytest.mark.parametrize(
    "restore", ["newest", "vanilla", "2026-11-25T02-00-00Z", "old/2026-11-25T02-00-00Z", "old-2/newest"]
)
def test_a_backup_is_named_by_its_time_and_where_it_is_anothers_by_its_stack(restore: str) -> None:
    assert environment(restore=restore, storage="acme-storage").restore == restore


@pytest.mark.parametrize("zone", ["UTC", "Europe/Amsterdam", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_zones_of_the_iana_database_are_accepted(zone: str) -> None:
    assert environment(timezone=zone).timezone == zone


def test_a_host_without_the_database_leaves_a_zone_to_the_task_runner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("components.settings.ZONES", tmp_path / "nowhere")
    assert environment(timezone="Europe/Nowhere").timezone == "Europe/Nowhere"


def test_a_stack_is_fenced_only_by_a_plain_true() -> None:
    assert environment(fenced="true").fenced is True
    assert environment(fenced="false").fenced is False


@pytest.mark.parametrize("name", sorted(PASSWORDS))
def test_a_secret_in_plain_text_is_refused(name: str) -> None:
    encrypted = frozenset(PASSWORDS) - {name}
    with pytest.raises(SettingsError, match=f"stele:{name}: '\\(in plain text\\)'"):
        parse(MINIMAL, defaults=DEFAULTS, secret_keys=encrypted)


@given(st.text(min_size=1, max_size=200))
def test_a_refused_secret_is_never_shown(value: str) -> None:
    marked = f"\x00{value}-hidden"
    with pytest.raises(SettingsError) as refused:
        parse(MINIMAL | {"database-password": marked}, defaults=DEFAULTS)
    assert "hidden" not in str(refused.value)


def test_secrets_are_not_in_the_representation() -> None:
    assert "correct-horse" not in repr(environment())


def test_what_is_recorded_of_an_environment_can_be_set_again_anywhere() -> None:
    record = replace(environment(), swarm="this machine's").to_record()
    assert record.keys() < ENVIRONMENT_KEYS.keys()
    assert {"version", "runtimes", "sizing", "storage", "cluster", "fenced"} < record.keys()
    assert "releases" not in record
