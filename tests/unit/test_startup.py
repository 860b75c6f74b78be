"""The workaround of components/startup.py is still needed, and what it begins is waited for."""

import subprocess
import sys

import pulumi
import pytest

from bench.lab.ground import CHECKOUT
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


PROGRAM = """
import threading, time
from concurrent.futures import Future
from types import SimpleNamespace
from pulumi.runtime import settings
from components import startup

answer = Future()
settings.get_monitor = lambda: SimpleNamespace(Invoke=SimpleNamespace(future=lambda request: answer))

def engine():
    time.sleep(0.5)
    print("answered", flush=True)
    answer.set_exception(ConnectionError("no such plugin"))

startup.wake_docker_plugin()
threading.Thread(target=engine, daemon=True).start()
raise SystemExit(32)
"""


def test_a_program_that_stops_at_once_ends_only_after_the_engine_has_started_the_plugin() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=CHECKOUT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (32, "answered\n", "")
