"""Hosts to try a cluster with, on one machine: a Docker engine each, in a network namespace, on a wire of their own.

They are what hosts are to a Swarm: an engine, an address, images and volumes of their own. They are not machines: they
share this one's kernel, and an image of a host is not needed.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hosts.machines import Machine, with_data
from hosts.namespaced_engine import EngineError, NamespacedEngine, do
from hosts.wanted import HostError, Wanted


def _short(*words: str) -> str:
    """A name for the kernel, which takes at most 15 characters."""
    return hashlib.sha256("/".join(words).encode()).hexdigest()[:9]


def _shown(*words: str) -> dict[str, Any] | None:
    """What `ip` shows of a thing, if it is there. (/sys may be another name space's.)"""
    shown = subprocess.run(["ip", "-j", *words], capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(shown.stdout or "[]") if shown.returncode == 0 else []
    return found[0] if found else None


class Switch:
    """The wire between the hosts of one cluster: a bridge in a name space of its own, where no packet filter is.

    In this machine's own, Docker's rules would be asked about what crosses it. This machine has the last address.
    """

    def __init__(self, cluster: str, subnet: str) -> None:
        self._name = f"stele-{cluster}-wire"
        self._id = _short(cluster, "wire")
        self._net = ipaddress.ip_network(subnet)

    def ensure(self) -> None:
        """Make it, unless it is there. Raises EngineError when the subnet is somebody else's, or is not what it was."""
        if self.is_there():
            return
        routes = subprocess.run(["ip", "-j", "route"], capture_output=True, text=True, check=True).stdout
        for route in json.loads(routes):
            with suppress(ValueError):
                if route["dst"] != "default" and self._net.overlaps(ipaddress.ip_network(route["dst"])):
                    raise EngineError(
                        f"stele:subnet: {self._net} is in use here ({route['dst']} on {route['dev']}); "
                        "pulumi config set subnet <another one>"
                    )
        # What a kill left half-made is completed, and nothing taken away: hosts may be plugged in.
        if not Path(f"/run/netns/{self._name}").exists():
            do("ip", "netns", "add", self._name)
        if _shown("-n", self._name, "link", "show", "wire") is None:
            do("ip", "-n", self._name, "link", "add", "wire", "type", "bridge")
        do("ip", "-n", self._name, "link", "set", "wire", "up")
        subprocess.run(["ip", "link", "delete", f"st{self._id}"], capture_output=True, check=False)
        do("ip", "link", "add", f"st{self._id}", "type", "veth", "peer", "name", "machine", "netns", self._name)
        do("ip", "-n", self._name, "link", "set", "machine", "master", "wire", "up")
        last = self._net.broadcast_address - 1
        do("ip", "address", "add", f"{last}/{self._net.prefixlen}", "dev", f"st{self._id}")
        do("ip", "link", "set", f"st{self._id}", "up")

    def is_there(self) -> bool:
        """Whether it is, whole. Raises EngineError when it is in another subnet: no host would reach the others."""
        if (own := self._address()) is None:
            return False
        if (there := ipaddress.ip_interface(own).network) != self._net:
            raise EngineError(
                f"stele:subnet: {self._net} is not allowed; allowed: {there}, where the other hosts are; "
                f"pulumi config set subnet {there}, or pulumi destroy first"
            )
        return True

    def _address(self) -> str | None:
        """This machine's on it, once the last step was done."""
        if (link := _shown("address", "show", f"st{self._id}")) is None:
            return None
        own = [f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"] if each["family"] == "inet"]
        return own[0] if own and "UP" in link["flags"] else None

    def plug(self, name_space: str, address: str) -> None:
        """Give an engine's name space an address on it."""
        port = f"p{_short(name_space)}"
        subprocess.run(["ip", "-n", self._name, "link", "delete", port], capture_output=True, check=False)
        do("ip", "-n", name_space, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self._name)
        do("ip", "-n", self._name, "link", "set", port, "master", "wire", "up")
        do("ip", "-n", name_space, "address", "add", f"{address}/{self._net.prefixlen}", "dev", "eth0")
        do("ip", "-n", name_space, "link", "set", "eth0", "up")

    def cut(self, name_space: str, *, cut: bool) -> None:
        """Cut an engine off from all others, and from this machine, or mend that."""
        do("ip", "-n", self._name, "link", "set", f"p{_short(name_space)}", "down" if cut else "up")

    def remove(self) -> None:
        """Take it away."""
        if Path(f"/run/netns/{self._name}").exists():
            subprocess.run(["ip", "netns", "delete", self._name], check=False)
        subprocess.run(["ip", "link", "delete", f"st{self._id}"], capture_output=True, check=False)


class LocalEngine(NamespacedEngine):
    """The engine of one host."""

    what = "the engine"

    def __init__(self, name: str, folder: Path, registry: str, switch: Switch, machine: Mapping[str, str]) -> None:
        super().__init__(name, folder, registry)
        self._switch, self._machine = switch, machine

    def begin(self) -> None:
        """What it is is written first: an engine that a kill leaves behind is known."""
        self.folder.mkdir(parents=True)
        whole = self.folder / "host.json.new"
        whole.write_text(json.dumps(dict(self._machine)))
        whole.rename(self.folder / "host.json")

    def wire(self) -> None:
        """Plug it in."""
        self._switch.ensure()
        self._switch.plug(self.name, self._machine["address"])

    def cut(self, *, cut: bool) -> None:
        """Cut it off from everybody, as by a broken wire, or mend that."""
        self._switch.cut(self.name, cut=cut)

    def configuration(self) -> dict[str, object]:
        """What its daemon.json says."""
        return {
            "log-opts": {"max-size": "10m", "max-file": "3"},
            "shutdown-timeout": 40,
        }

    def volumes(self) -> list[str]:
        """Names of those with data, whether or not it runs."""
        return with_data(path.name for path in (self.folder / "engine" / "volumes").glob("*") if path.is_dir())

    def is_member(self) -> bool:
        """Whether it was in a Swarm when it last ran."""
        return (self.folder / "engine" / "swarm" / "docker-state.json").exists()


class LocalMachines:
    """The engines of one cluster. Each has a folder with its data and a ``host.json`` that says what it is."""

    def __init__(self, cluster: str, subnet: str, root: Path) -> None:
        self._cluster, self._root, self._subnet = cluster, root / cluster, subnet
        self._switch = Switch(cluster, subnet)
        self._last_words: dict[tuple[str, str], Sequence[str]] = {}  # of engines that did not start

    def wake(self) -> None:
        """An engine that is off and has data is switched on; so are all, when all are off: this machine was.

        Any other that is off is a host that is lost. Raises HostError.
        """
        engines = [(machine, self._engine_of(machine)) for machine in self.all()]
        off = [(machine, engine) for machine, engine in engines if not engine.processes()]
        everything = len(off) == len(engines)
        for machine, engine in off:
            data = engine.volumes()
            if data or (everything and engine.is_member()):
                try:
                    engine.start_again()
                except EngineError as error:
                    if data:
                        raise HostError(
                            f"host {machine.name}: it has volume {data[0]} and does not start: {error}: mend that; or, "
                            f"if nobody needs it: rm -r {engine.folder}"
                        ) from error

    def all(self) -> Sequence[Machine]:
        """Every engine."""
        plain = (json.loads(path.read_text()) for path in sorted(self._root.glob("*/host.json")))
        return [Machine(**each, engine=self.engine(each["name"], each["generation"]).host) for each in plain]

    def find(self, name: str, generation: str) -> Machine | None:
        """One of them, when it answers."""
        try:
            self._switch.is_there()
        except EngineError as error:
            raise HostError(str(error)) from error
        own = [each for each in self.all() if (each.name, each.generation) == (name, generation)]
        engine = self.engine(name, generation)
        if not own:
            return None
        if engine.answers():
            return own[0]
        if running := engine.processes():
            raise HostError(f"its engine does not answer, but runs (process {running[0]}): wait, or kill that first")
        return None

    def bring_up(self, wanted: Wanted) -> Machine:
        """Start an engine that is empty."""
        address = self.free_address()
        self._clear()
        engine = self.engine(wanted.name, wanted.generation, address)
        engine.limit = max(engine.limit, wanted.window)
        try:
            engine.start()
        except EngineError as error:
            self._last_words[wanted.name, wanted.generation] = error.console
            raise HostError(str(error)) from error
        return Machine(wanted.name, wanted.generation, address, engine.host)

    def take_away(self, machine: Machine) -> None:
        """Kill the engine and remove what it kept; the last one takes the wire along."""
        self.engine(machine.name, machine.generation).remove()
        self._clear()
        if self._root.exists() and not any(self._root.iterdir()):
            self._switch.remove()
            self._root.rmdir()

    def _clear(self) -> None:
        """A folder that does not say what it is was being made, or removed, by somebody who was killed."""
        for folder in self._root.glob("*/"):
            if not (folder / "host.json").exists():
                name, _, generation = folder.name.rpartition("-")
                self.engine(name, generation).remove()

    def console(self, name: str, generation: str) -> Sequence[str]:
        """What the engine said last."""
        return self._last_words.get((name, generation)) or self.engine(name, generation).console()

    def _engine_of(self, machine: Machine) -> LocalEngine:
        return self.engine(machine.name, machine.generation, machine.address)

    def engine(self, name: str, generation: str, address: str = "") -> LocalEngine:
        """One of them, whether or not it is there."""
        registry = os.environ.get("STELE_REGISTRY", "127.0.0.1:5001")
        machine = {"name": name, "generation": generation, "address": address}
        label, folder = f"{self._cluster}-{name}-{generation}", self._root / f"{name}-{generation}"
        return LocalEngine(label, folder, registry, self._switch, machine)

    def free_address(self) -> str:
        """The one after the last that is in use: one just given up is still known to others by its old wire."""
        free = [str(address) for address in list(ipaddress.ip_network(self._subnet).hosts())[:-1]]  # last: this machine
        taken = {machine.address for machine in self.all()}
        after = max((free.index(address) + 1 for address in taken if address in free), default=0)
        for address in [*free[after:], *free[:after]]:
            if address not in taken:
                return address
        raise HostError(f"stele:subnet: {self._subnet} has no free address; pulumi config set subnet <a larger one>")
