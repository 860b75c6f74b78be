"""From the factory to the vendor's account to a customer's, by `pulumi up`: the real CLI, plugins and store."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from components.bucket import Bucket
from components.release_store import ReleaseStore

from .conftest import Gateway, Project

# The program's own components, without the images that need an engine.
PROGRAM = """
import pulumi
from components.archive import archives_of
from components.blueprint import blueprints
from components.boundary import CHECKOUT
from components.installation import Installation, InstallationArgs
from components.manifest import sha256
from components.release import Release, ReleaseArgs
from components.release_store import store_of
from components.settings import ReleaseSettings
from components.storage_reference import account_of, vendor_of

vendor, version = vendor_of("vendor"), pulumi.Config().require("version")
if pulumi.get_stack() == "factory":
    archives = archives_of("orders", blueprints("orders"))
    settings = ReleaseSettings(
        version=version, name="granite", product="orders", registry="none", releases=f"{CHECKOUT}/published"
    )
    entries = {name: {"digest": sha256(tar), "size": len(tar)} for name, tar in archives.items()}
    args = ReleaseArgs(
        settings=settings, template="1", schema={}, families={}, runtimes={}, archives=entries, vendor=vendor
    )
    pulumi.export("manifest", Release("orders-release", args).manifest)
else:
    folder = f"{CHECKOUT}/cache"
    args = InstallationArgs(
        account=account_of("storage", "acme"),
        manifest=store_of(folder, vendor).read("orders", version),
        settings={"version": version},
        vendor=vendor,
        folder=folder,
    )
    pulumi.export("incarnation", Installation("shop", args).incarnation)
"""


@pytest.fixture
def accounts(project: Project) -> dict[str, Bucket]:
    """The accounts that storage stacks `vendor` and `acme` declare."""
    found, own = {}, secrets.token_hex(4)
    for stack in ("vendor", "acme"):
        configure(project, stack, kind="storage", customer=f"{stack}-{own}")
        done = project.pulumi("up", "--yes", "--skip-preview", stack=stack)
        assert done.returncode == 0, done.stdout + done.stderr
        outputs = project.pulumi("stack", "output", "--json", "--show-secrets", stack=stack).stdout
        found[stack] = Bucket.of(json.loads(outputs))
    return found


def configure(project: Project, name: str, **settings: str) -> None:
    """Set a stack's settings; it is made first if there is none of that name."""
    project.pulumi("stack", "init", "--no-select", stack=name)
    pairs = [word for key, value in settings.items() for word in ("--plaintext", f"stele:{key}={value}")]
    assert project.pulumi("config", "set-all", *pairs, stack=name).returncode == 0


def test_a_release_reaches_the_vendor_and_then_its_customer(project: Project, accounts: dict[str, Bucket]) -> None:
    (project.folder / "project/__main__.py").write_text(PROGRAM)
    vendor, customer = accounts["vendor"], accounts["acme"]
    shown = ""

    def run(verb: str, name: str, *more: str) -> Any:
        nonlocal shown
        done = project.pulumi(verb, "--diff", *more, stack=name)
        assert done.returncode == 0, done.stdout + done.stderr
        shown += done.stdout + done.stderr
        return json.loads(project.pulumi("stack", "output", "--json", stack=name).stdout)

    configure(project, "factory", version="1.0.0")
    run("preview", "factory")
    assert vendor.oldest("") == {}
    published = run("up", "factory", "--yes", "--skip-preview")
    manifest = ReleaseStore(vendor).read("orders", "1.0.0")
    assert published["manifest"] == manifest.digest

    configure(project, "shop", version="1.0.0")
    run("preview", "shop")
    assert customer.oldest("") == {}
    installed = run("up", "shop", "--yes", "--skip-preview")
    copied = ReleaseStore(customer)
    assert copied.read("orders", "1.0.0").digest == manifest.digest
    assert copied.archive(manifest, "vanilla") == ReleaseStore(vendor).archive(manifest, "vanilla")
    assert json.loads(customer.read(installed["incarnation"]) or b"")["stack"] == "shop"
    assert run("up", "shop", "--yes", "--skip-preview", "--expect-no-changes") == installed

    configure(project, "factory", version="1.1.0")
    run("up", "factory", "--yes", "--skip-preview")
    configure(project, "shop", version="1.1.0")
    updated = run("up", "shop", "--yes", "--skip-preview")
    assert copied.versions("orders") == ["1.0.0", "1.1.0"]
    assert list(customer.oldest("stacks/shop/")) == sorted([installed["incarnation"], updated["incarnation"]])

    states = "".join(project.pulumi("stack", "export", stack=name).stdout for name in ("factory", "shop"))
    for account in accounts.values():
        assert account.secret_key not in shown
        assert account.secret_key not in states
    assert "STELE_CUSTOMER_ACCOUNT" in shown

    run("destroy", "shop", "--yes", "--skip-preview")
    assert copied.versions("orders") == ["1.0.0", "1.1.0"]


@contextmanager
def engine() -> Iterator[str]:
    """An engine that is asked for nothing that matters: it knows nothing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"tcp://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("kind", ["release", "environment"])
def test_what_is_wrong_with_the_vendor_is_said_before_anything_is_declared(
    project: Project, accounts: dict[str, Bucket], gateway: Gateway, kind: str
) -> None:
    with engine() as address:
        project.env["DOCKER_HOST"] = address
        configure(project, "shop", kind=kind, version="1.0.0", vendor="nobody")

        def said() -> str:
            done = project.pulumi("up", "--yes", "--skip-preview", stack="shop")
            assert done.returncode != 0
            assert "Traceback" not in done.stdout + done.stderr
            state = json.loads(project.pulumi("stack", "export", stack="shop").stdout)["deployment"]
            declared = {each["type"] for each in state.get("resources", [])}
            assert all(kind.startswith("pulumi:") for kind in declared), f"{declared}: {done.stdout + done.stderr}"
            return done.stdout + done.stderr

        assert (
            "stele:vendor: 'nobody' is not allowed; allowed: a storage stack that is up: pulumi up -s nobody" in said()
        )
        configure(project, "shop", vendor="vendor")
        if kind == "environment":
            assert "stele:version: '1.0.0' is not published; published versions of orders: none yet" in said()
        gateway.kill()
        try:
            assert f"{gateway.endpoint}: the store does not answer" in said()
        finally:
            gateway.start()
