"""The workaround of components/startup.py is still needed: this fails once the SDK has no more such calls."""

import pulumi
import pytest

from tests.unit.conftest import Declare


class Declared(pulumi.ComponentResource):
    def __init__(self) -> None:
        super().__init__("test:index:Declared", "declared")
        self.outputs: dict[str, str] = {}


def test_the_sdk_still_sends_debug_messages_for_every_resource(
    declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(pulumi.log, "debug", lambda message, *_, **__: sent.append(message))
    declare(Declared)
    assert [message for message in sent if "declared" in message]
