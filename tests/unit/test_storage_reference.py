"""An account as other stacks see it: whatever is missing of it is said before anything is declared."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.settings import SettingsError
from components.storage_reference import account_from, account_of, vendor_of

OUTPUTS = {
    "endpoint": "http://store",
    "bucket": "stele-acme",
    "access_key": "stele-acme",
    "secret_key": "the-accounts-secret",
    "retention": 180.0,  # as the state holds numbers
    "locked": True,
}


def test_an_account_is_what_its_stack_says_and_shows_no_secret() -> None:
    account = account_from("storage", "acme", OUTPUTS, "mend")
    assert (account.bucket, account.retention, account.locked) == ("stele-acme", 180, True)
    assert "the-accounts-secret" not in repr(account)


@pytest.mark.parametrize("name", ["endpoint", "bucket", "access_key", "secret_key"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_output_is_named_with_what_makes_it(name: str, value: str | None) -> None:
    # An account whose keys were changed by hand has empty ones after a refresh.
    with pytest.raises(
        SettingsError, match=f"^stele:vendor: 'acme' is not allowed; allowed: mend .it has no output {name}"
    ):
        account_from("vendor", "acme", OUTPUTS | {name: value}, "mend")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (RuntimeError("unknown stack 'acme'"), "a storage stack that is up: pulumi up -s acme (there is no stack of"),
        (None, "a storage stack that is up: pulumi up -s acme (it has no output endpoint)"),
        ({"outputs": {}}, "a storage stack that is up: pulumi up -s acme (it has no output endpoint)"),
    ],
)
def test_a_stack_that_is_not_up_is_named(monkeypatch: pytest.MonkeyPatch, answer: Any, told: str) -> None:
    class Answer:
        value = answer

    def invoke(_token: str, asked: dict[str, str]) -> Any:
        assert asked == {"name": "organization/stele/acme"}
        if isinstance(answer, Exception):
            raise answer
        return Answer

    monkeypatch.setattr(pulumi, "get_organization", lambda: "organization")
    monkeypatch.setattr(pulumi, "get_project", lambda: "stele")
    monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
    with pytest.raises(SettingsError) as refused:
        account_of("storage", "acme")
    assert told in str(refused.value)


def test_without_a_vendor_nobody_is_asked() -> None:
    assert vendor_of(None) is None
