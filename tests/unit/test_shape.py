"""The shape of a service is part of its generation's name: whoever changes one must raise `swarm.SHAPE`."""

from __future__ import annotations

from pathlib import Path

import pytest

from components import swarm
from components.environment import Environment
from components.manifest import fingerprint
from components.release_store import FolderReleaseStore
from components.settings import EnvironmentSettings, parse
from tests.unit.conftest import Declare
from tests.unit.releases import release

# The rendered services of the small release, by shape.
KNOWN = {1: "c9cb9eb277", 2: "84757afc99", 3: "51951ade2b"}


def test_another_shape_has_another_number(declare: Declare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELE_CHECKOUT_ID", "00000000")
    FolderReleaseStore(tmp_path).publish(release("1.0.0"), {})
    raw = {"version": "1.0.0", "broker-password": "battery-staple"}
    settings = parse(raw, defaults={"registry": "registry:5000", "releases": str(tmp_path)})
    assert isinstance(settings, EnvironmentSettings)
    recorder, _ = declare(lambda: Environment("dev", settings))
    rendered = {
        name.rpartition("-")[0]: {key: inputs[key] for key in ("taskSpec", "mode", "endpointSpec", "convergeConfig")}
        for name, inputs in recorder.of_type("service:Service").items()
    }
    assert fingerprint(rendered) == KNOWN.get(swarm.SHAPE), "raise swarm.SHAPE and record the new fingerprint here"
