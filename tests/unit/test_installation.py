"""What publishing and installing hand to their commands: content that a plan may show, accounts that it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pulumi.runtime.rpc import _special_secret_sig, _special_sig_key

from components.installation import Installation, InstallationArgs
from components.manifest import manifest_of
from components.release import Release, ReleaseArgs
from components.settings import ReleaseSettings
from components.storage_reference import Account
from tests.unit.conftest import Declare
from tests.unit.releases import release

COMMAND = "local:Command"


def account(name: str) -> Account:
    return Account(
        endpoint="http://store",
        bucket=f"stele-{name}",
        access_key=f"stele-{name}",
        secret_key=f"secret-of-{name}",
        retention=180,
        locked=True,
    )


def shown(value: Any) -> Any:
    """A value as a plan shows it."""
    if isinstance(value, dict):
        secret = value.get(_special_sig_key) == _special_secret_sig
        return "[secret]" if secret else {key: shown(each) for key, each in value.items()}
    return [shown(each) for each in value] if isinstance(value, list) else value


class Published:
    def __init__(self, vendor: Account | None) -> None:
        settings = ReleaseSettings(
            version="1.0.0", name="granite", product="orders", registry="registry:5000", releases="/re leases"
        )
        args = ReleaseArgs(
            settings=settings, template="1", schema={}, families={}, runtimes={}, archives={}, vendor=vendor
        )
        self.outputs = {"manifest": Release("orders-release", args).manifest}


class Installed:
    def __init__(self, vendor: Account | None, version: str = "1.0.0") -> None:
        manifest = manifest_of({"content": release(version), "provenance": {}})
        args = InstallationArgs(
            account=account("acme"),
            manifest=manifest,
            settings={"sizing": {"default": "S"}},
            vendor=vendor,
            folder="/re leases",
            key="secret-of-backups",
        )
        self.outputs = {"incarnation": Installation("dev", args).incarnation}


def test_an_installation_hands_over_what_is_wanted_and_the_accounts_as_secrets(declare: Declare) -> None:
    recorder, outputs = declare(lambda: Installed(account("vendor")))
    inputs = recorder.of_type(COMMAND)["dev-copy"]
    assert inputs["create"] == inputs["update"] == "python3 -m components.release_store install '/re leases'"
    assert json.loads(inputs["stdin"]) == {
        "stack": "dev",
        "product": "orders",
        "version": "1.0.0",
        "manifest": manifest_of({"content": release("1.0.0"), "provenance": {}}).digest,
        "settings": {"sizing": {"default": "S"}},
    }
    given = dict(inputs["environment"]["value"])
    assert given.pop("STELE_BACKUP_KEY") == "secret-of-backups"
    handed = {name: json.loads(text) for name, text in given.items()}
    assert {name: found["bucket"] for name, found in handed.items()} == {
        "STELE_CUSTOMER_ACCOUNT": "stele-acme",
        "STELE_VENDOR_ACCOUNT": "stele-vendor",
    }
    assert inputs["delete"] == "true"
    assert outputs["incarnation"]


@pytest.mark.parametrize("declared", [Installed, Published])
def test_secret_keys_are_in_nothing_but_secrets(declare: Declare, declared: Any) -> None:
    recorder, _ = declare(lambda: declared(account("vendor")))
    inputs = [args.inputs for args in recorder.resources]
    assert "secret-of-vendor" in json.dumps(inputs)
    assert "secret-of-" not in json.dumps(shown(inputs))


def test_another_release_is_another_input(declare: Declare) -> None:
    first, second = (declare(lambda v=v: Installed(None, v))[0].of_type(COMMAND) for v in ("1.0.0", "1.1.0"))
    assert first["dev-copy"]["stdin"] != second["dev-copy"]["stdin"]
    assert first["dev-copy"]["create"] == second["dev-copy"]["create"]


def test_a_factory_without_a_vendor_declares_what_it_always_did(declare: Declare) -> None:
    recorder, _ = declare(lambda: Published(None))
    inputs = recorder.of_type(COMMAND)["orders-release-manifest"]
    assert "environment" not in inputs
    assert json.loads(inputs["stdin"]).keys() == {
        "schema", "version", "name", "product", "template", "families", "runtimes",
    }  # fmt: skip
