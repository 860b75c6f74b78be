"""Every kind of bad release: `up` fails and says why, callers notice nothing, going back is a no-op for what serves."""

from __future__ import annotations

import pytest

from bench.lab import edits
from bench.lab.workspace import Stack
from tests.conftest import BASE
from tests.integration.conftest import Product


@pytest.mark.parametrize("number", range(len(edits.BAD)), ids=[bad.name for bad in edits.BAD])
def test_a_bad_release_harms_nobody(product: Product, factory: Stack, number: int) -> None:
    bad = edits.BAD[number]
    version = f"900.9.{number}"
    workspace, stack = product.stack.workspace, product.stack
    bad.edit(workspace)
    factory.up(version=version)
    workspace.reset()
    before, outputs, objects = product.swarm.running(), stack.outputs(), product.swarm.everything()
    with product.load() as load:
        failed = stack.up(version=version, check=False)
        assert before <= product.swarm.running()
    load.assert_spotless()
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert f"{bad.runtime}: the new generation did not become healthy" in said, said
    assert f"  {bad.runtime} | " in said, said
    assert bad.told in said, said
    stack.configure(version=BASE)
    stack.up()
    assert product.swarm.running() == before
    assert product.swarm.everything() == objects
    assert stack.outputs() == outputs
    stack.up("--expect-no-changes")
