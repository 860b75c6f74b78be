"""The sample product through its front door, as its callers and its operators see it."""

from __future__ import annotations

import json
import re

import pytest

from bench.lab.door import new_id
from bench.lab.workspace import wait_until
from tests.conftest import BASE
from tests.integration.conftest import PORT, Product


def stored(product: Product, order: str) -> dict[str, object]:
    """The order as it is read back, at the latest some seconds after it was acknowledged."""

    def found() -> dict[str, object] | None:
        answer = product.door.get(f"/orders/{order}")
        assert answer.status in (200, 404), answer
        content: dict[str, object] = answer.json() if answer.status == 200 else {}
        return content

    content: dict[str, object] = wait_until(f"order {order} readable", found, 120)
    return content


def test_an_order_is_acknowledged_stored_and_readable(product: Product) -> None:
    order = new_id()
    assert product.door.order(id=order, item="basalt slab", quantity=3).status == 202
    assert stored(product, order) | {"id": order, "item": "basalt slab", "quantity": 3} == stored(product, order)


def test_a_repeated_id_is_stored_once(product: Product) -> None:
    order, last = new_id(), new_id()
    before = product.door.get("/orders").json()["count"]
    for _ in range(3):
        assert product.door.order(id=order).status == 202
    assert product.door.order(id=last).status == 202
    stored(product, order)
    stored(product, last)
    wait_until("the count", lambda: product.door.get("/orders").json()["count"] >= before + 2, 120)
    assert product.door.get("/orders").json() == {"count": before + 2}


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[]",
        "{}",
        json.dumps({"id": "x1", "item": "slab"}),
        json.dumps({"id": "x1", "quantity": 1}),
        json.dumps({"item": "slab", "quantity": 1}),
        json.dumps({"id": "x1", "item": "slab", "quantity": "many"}),
        json.dumps({"id": "x1", "item": "slab", "quantity": 0}),
        json.dumps({"id": "x1", "item": "slab", "quantity": -1}),
        json.dumps({"id": "x1", "item": "", "quantity": 1}),
        json.dumps({"id": "", "item": "slab", "quantity": 1}),
        json.dumps({"id": 7, "item": "slab", "quantity": 1}),
        "",
    ],
)
def test_malformed_input_gets_400_and_a_reason(product: Product, body: str) -> None:
    answer = product.door.request("POST", "/orders", body)
    assert answer.status == 400, answer
    assert len(str(answer.json()["error"])) > 5, answer


def test_an_unknown_order_and_an_unknown_path_are_404(product: Product) -> None:
    assert product.door.get(f"/orders/{new_id()}").status == 404
    assert product.door.get("/nothing-here").status == 404


def test_the_version_names_what_runs(product: Product) -> None:
    told = product.door.get("/version").json()
    outputs = product.stack.outputs()
    assert told["version"] == BASE
    assert told["runtimes"] == outputs["runtimes"]
    running = {
        name: service["TaskTemplate"]["ContainerSpec"]["Image"] for name, service in specifications(product).items()
    }
    assert running == told["runtimes"]


def specifications(product: Product) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """The engine's specification of each runtime's service."""
    return {name: product.swarm.specification(service) for name, service in product.stack.outputs()["services"].items()}


def test_health_and_metrics(product: Product) -> None:
    assert product.door.get("/health").status == 200
    assert "haproxy_process_" in product.door.get("/metrics").text
    for runtime in ("intake", "ledger", "notify", "broker"):
        answer = product.door.get(f"/metrics/{runtime}")
        assert answer.status == 200, runtime
        assert re.search(r"^[a-z_]+(\{.*\})? [0-9.eE+-]+$", answer.text, re.MULTILINE), runtime


def test_notify_writes_a_file_for_each_order(product: Product) -> None:
    order = new_id()
    assert product.door.order(id=order).status == 202
    (container,) = product.swarm.containers("notify")

    def written() -> bool:
        code, listing = container.exec_run(["find", "/data", "-name", f"*{order}*"])
        return code == 0 and bool(listing.strip())

    wait_until("notify's file", written, 120)


def test_the_outputs_are_the_contract_for_scripts(product: Product) -> None:
    outputs = product.stack.outputs()
    assert outputs["url"] == f"http://localhost:{PORT}"
    assert outputs["version"] == BASE
    names = {"broker", "database", "edge", "intake", "ledger", "notify"}
    for key in ("runtimes", "configuration", "actions", "services"):
        assert set(outputs[key]) == names, key
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in outputs["runtimes"].values())
    assert set(outputs["actions"].values()) <= {"none", "restart", "redeploy"}
    assert set(outputs["services"].values()) <= set(product.swarm.services())
