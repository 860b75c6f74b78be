"""Small releases for composition tests."""

from __future__ import annotations

from typing import Any

from components.manifest import content_of

WIRING: dict[str, Any] = {
    "needs": [],
    "secrets": [],
    "volume": None,
    "front": False,
    "sizing": {"S": {"memory": 64, "cpus": 1.0, "replicas": 1}, "M": {"memory": 128, "cpus": 1.0, "replicas": 2}},
    "health": {"window": 90, "interval": 1, "retries": 3},
    "stop": {"signal": "SIGTERM", "drain": 3, "grace": 20},
}
OWN: dict[str, dict[str, Any]] = {
    "intake": {"needs": ["broker"], "secrets": ["broker-password"]},
    "broker": {"volume": "/data", "secrets": ["broker-password"]},
    "edge": {"needs": ["intake"], "front": True},
}


RUNNER: dict[str, Any] = {
    "volume": "/data",
    "secrets": ["backup-key", "storage-secret"],
    "tasks": True,
}


def host_image(version: str) -> dict[str, Any]:
    """A release's entry for the host image that says it is ``version``."""
    return {key: f"sha256:{key}" for key in ("disk", "tree", "sbom", "lock")} | {
        "size": 7,
        "folder": f"hosts/{version}",
    }


def release(
    version: str, images: str = "a", host: dict[str, Any] | None = None, **changed: dict[str, Any]
) -> dict[str, Any]:
    """The content of a release of intake, broker and edge; ``changed`` overrides entries of single runtimes."""
    runtimes = {
        name: {
            "family": "jvm",
            "recipe": "1",
            "core": "camel-4",
            "repository": f"orders/{name}",
            "digest": f"sha256:{images * 8}-{name}",
            "configuration": "sha256:c",
            "wiring": WIRING | own,
        }
        | changed.get(name, {})
        for name, own in OWN.items()
    }
    return content_of(
        version=version, name="granite", product="orders", template="1", families={}, runtimes=runtimes, host=host
    )


def with_runner(version: str, data: dict[str, int] | None = None, **changed: dict[str, Any]) -> dict[str, Any]:
    """The same with a task runner, and a broker whose messages it captures; ``data``: the schema that it declares."""
    captured = {"wiring": WIRING | OWN["broker"] | {"capture": "messages"}}
    content = release(version, **({"broker": captured} | changed))
    runner = {"family": "task-runner", "core": "restic", "repository": "orders/backup", "wiring": WIRING | RUNNER}
    content["runtimes"]["backup"] = content["runtimes"]["intake"] | runner
    return content | ({"data": data} if data else {})
