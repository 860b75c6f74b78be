"""The registry and the BuildKit daemon: their generated configuration and command lines."""

from __future__ import annotations

import os

from container import CONTAINER_ROOT, contained
from engine import Choice
from home import Home
from parts import Part, find_program
from settings import Settings

REGISTRY_CONFIG = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  # Every published version stays deployable: nothing is deleted through the registry.
  delete: {{enabled: false}}
  maintenance: {{uploadpurging: {{enabled: true, age: 24h, interval: 24h, dryrun: false}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""

BUILDKIT_CONFIG = """\
root = "{root}"
[grpc]
  address = ["unix://{socket}"]
  uid = {uid}
  gid = {gid}
[worker.oci]
  enabled = true
  snapshotter = "overlayfs"
  # Steps fetch packages the way this machine does (proxy on loopback, its resolver).
  networkMode = "host"
  binary = "{runc}"
  gc = true
  [[worker.oci.gcpolicy]]
    all = true
    maxUsedSpace = "{cache}GB"
[worker.containerd]
  enabled = false
[registry."127.0.0.1:{port}"]
  http = true
"""


def registry_part(home: Home, settings: Settings, *, write: bool = True) -> Part:
    """The image registry on loopback, plain HTTP, without accounts."""
    program = find_program(
        home, ("docker-registry", "registry"), "install it (apt-get install docker-registry), or put `registry` on PATH"
    )
    root = home.data / "registry"
    config = home.conf / "registry.yml"
    if write:
        config.write_text(REGISTRY_CONFIG.format(root=root, port=settings.registry_port))
    return Part("registry", (program, "serve", str(config)), ("http", str(settings.registry_port)), 10)


def buildkit_part(home: Home, settings: Settings, choice: Choice, *, write: bool = True) -> Part:
    """The BuildKit daemon with its OCI worker; an ordinary user's runs in a container of the machine's engine."""
    program = find_program(home, ("buildkitd",), "run `make dev`, which installs it, or put it on PATH")
    runc = find_program(home, ("runc", "buildkit-runc"), "install it (apt-get install runc)")
    socket = home.run / "buildkit.sock"
    root = os.getuid() == 0
    content = BUILDKIT_CONFIG.format(
        root=home.data / "buildkit" if root else CONTAINER_ROOT,
        socket=socket,
        uid=os.getuid(),
        gid=os.getgid(),
        runc=runc,
        cache=settings.build_cache_gb,
        port=settings.registry_port,
    )
    config = home.conf / "buildkitd.toml"
    if write:
        config.write_text(content)
    argv: tuple[str, ...] = (program, "--config", str(config))
    before: tuple[str, ...] = ()
    if not root:
        argv, before = contained(home, choice, runc, argv, write=write)
    return Part("buildkit", argv, ("grpc", str(socket)), 30, (str(socket),), before)
