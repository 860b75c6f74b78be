"""Networks, volumes, secrets and configs on the engine."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from .engine import Engine, EngineError, path_of
from .waiting import Clock, WaitTimeoutError

Attributes = dict[str, Any]

#: Upstream gives a network or a volume this long to become free.
IN_USE_SECONDS = 30.0
ALLOCATED_SECONDS = 30.0
#: What an engine says of a network whose last containers and tasks are just going away.
STILL_LEAVING = ("has active endpoints", "is in use by task")


def label_map(labels: list[Attributes] | None) -> dict[str, str]:
    """A set of labels as the engine wants it."""
    return {item["label"]: item["value"] for item in labels or []}


def label_set(labels: dict[str, str] | None) -> list[Attributes]:
    """The engine's labels as a set."""
    return [{"label": label, "value": value} for label, value in (labels or {}).items()]


@dataclass(frozen=True)
class Networks:
    """docker:index/network:Network."""

    engine: Engine
    clock: Clock

    def create(self, wanted: Attributes) -> tuple[str, Attributes]:
        body: Attributes = {"Name": wanted["name"], "CheckDuplicate": True}
        for key, name in (
            ("driver", "Driver"),
            ("options", "Options"),
            ("internal", "Internal"),
            ("attachable", "Attachable"),
            ("ingress", "Ingress"),
            ("ipv6", "EnableIPv6"),
        ):
            if wanted.get(key):
                body[name] = wanted[key]
        if wanted.get("labels"):
            body["Labels"] = label_map(wanted["labels"])
        body["IPAM"] = _ipam(wanted)
        try:
            identity = self.engine.post("/networks/create", body)["Id"]
        except EngineError as error:
            raise EngineError(f"Unable to create network: {error}", error.status) from None
        seen = self.read(identity, wanted)
        if seen is None:
            raise EngineError(f"network {identity} vanished right after it was created")
        return seen

    def read(self, identity: str, known: Attributes) -> tuple[str, Attributes] | None:
        try:
            found = self.clock.until(lambda: self._allocated(identity), ALLOCATED_SECONDS)
        except EngineError as error:
            if error.missing:
                return None
            raise
        ipam = found.get("IPAM") or {}
        return identity, {
            "name": found["Name"],
            "labels": label_set(found.get("Labels")),
            "driver": found["Driver"],
            "internal": found["Internal"],
            "attachable": found["Attachable"],
            "ingress": found["Ingress"],
            "ipv6": found["EnableIPv6"],
            "ipam_driver": ipam.get("Driver") or "",
            "ipam_options": ipam.get("Options") or {},
            "scope": found["Scope"],
            "options": found.get("Options") or {},
            "ipam_config": [_pool(pool) for pool in ipam.get("Config") or []],
        }

    def _allocated(self, identity: str) -> Attributes | None:
        """The network, once Swarm has given it its addresses (it answers before it has)."""
        found: Attributes = self.engine.get(path_of("networks", identity))
        return None if found["Scope"] == "swarm" and not (found.get("IPAM") or {}).get("Driver") else found

    def update(self, identity: str, wanted: Attributes) -> Attributes:
        raise EngineError(f"network {identity} cannot be changed in place")

    def delete(self, identity: str, known: Attributes) -> None:
        def gone() -> bool | None:
            try:
                self.engine.get(path_of("networks", identity))
                self.engine.delete(path_of("networks", identity))
            except EngineError as error:
                if error.missing:
                    return True
                if any(sign in str(error).lower() for sign in STILL_LEAVING):
                    return None
                raise
            return True

        try:
            self.clock.until(gone, IN_USE_SECONDS)
        except WaitTimeoutError:
            raise EngineError(
                f"timeout while waiting for state to become 'removed' (last state: 'pending', timeout: 30s): "
                f"network {known.get('name') or identity} has active endpoints"
            ) from None


def _ipam(wanted: Attributes) -> Attributes:
    ipam: Attributes = {"Driver": wanted.get("ipam_driver") or "default"}
    if wanted.get("ipam_options"):
        ipam["Options"] = wanted["ipam_options"]
    if wanted.get("ipam_config"):
        ipam["Config"] = [
            {
                name: pool[key]
                for key, name in (
                    ("subnet", "Subnet"),
                    ("ip_range", "IPRange"),
                    ("gateway", "Gateway"),
                    ("aux_address", "AuxiliaryAddresses"),
                )
                if pool.get(key)
            }
            for pool in wanted["ipam_config"]
        ]
    return ipam


def _pool(pool: Attributes) -> Attributes:
    names = (
        ("subnet", "Subnet"),
        ("ip_range", "IPRange"),
        ("gateway", "Gateway"),
        ("aux_address", "AuxiliaryAddresses"),
    )
    return {key: pool[name] for key, name in names if pool.get(name)}


@dataclass(frozen=True)
class Volumes:
    """docker:index/volume:Volume; cluster volumes are refused."""

    engine: Engine
    clock: Clock

    def create(self, wanted: Attributes) -> tuple[str, Attributes]:
        if wanted.get("cluster"):
            raise EngineError("cluster volumes need the official docker plugin")
        body: Attributes = {"Name": wanted.get("name") or "", "Driver": wanted.get("driver") or ""}
        if wanted.get("labels"):
            body["Labels"] = label_map(wanted["labels"])
        if wanted.get("driver_opts"):
            body["DriverOpts"] = wanted["driver_opts"]
        try:
            found = self.engine.post("/volumes/create", {key: value for key, value in body.items() if value})
        except EngineError as error:
            raise EngineError(f"Unable to create volume: {error}", error.status) from None
        return found["Name"], _volume(found)

    def read(self, identity: str, known: Attributes) -> tuple[str, Attributes] | None:
        try:
            return identity, _volume(self.engine.get(path_of("volumes", identity)))
        except EngineError as error:
            if error.missing:
                return None
            raise EngineError(f"Unable to inspect volume: {error}", error.status) from None

    def update(self, identity: str, wanted: Attributes) -> Attributes:
        raise EngineError("cluster volumes need the official docker plugin")

    def delete(self, identity: str, known: Attributes) -> None:
        def gone() -> bool | None:
            try:
                self.engine.delete(path_of("volumes", identity), force=1)
            except EngineError as error:
                if error.missing:
                    return True
                if "volume is in use" in str(error).lower():
                    return None
                raise
            return True

        try:
            self.clock.until(gone, IN_USE_SECONDS)
        except WaitTimeoutError:
            raise EngineError(
                "timeout while waiting for state to become 'removed' (last state: 'in_use', timeout: 30s): "
                f"volume {identity} is in use"
            ) from None


def _volume(found: Attributes) -> Attributes:
    return {
        "name": found["Name"],
        "labels": label_set(found.get("Labels")),
        "driver": found["Driver"],
        "driver_opts": found.get("Options") or {},
        "mountpoint": found["Mountpoint"],
    }


@dataclass(frozen=True)
class Files:
    """docker:index/secret:Secret and docker:index/serviceConfig:ServiceConfig: immutable texts kept by Swarm."""

    engine: Engine
    kind: str

    def create(self, wanted: Attributes) -> tuple[str, Attributes]:
        raw = wanted.get("data_raw")
        data = base64.b64encode(raw.encode()).decode() if raw else wanted.get("data") or ""
        body = {"Name": wanted["name"], "Labels": label_map(wanted.get("labels")), "Data": data}
        identity = self.engine.post(f"/{self.kind}/create", body)["ID"]
        seen = self.read(identity, wanted)
        if seen is None:
            raise EngineError(f"{self.kind[:-1]} {identity} vanished right after it was created")
        return seen

    def read(self, identity: str, known: Attributes) -> tuple[str, Attributes] | None:
        try:
            found = self.engine.get(path_of(self.kind, identity))
        except EngineError as error:
            if error.missing:
                return None
            raise
        spec = found["Spec"]
        seen: Attributes = {"name": spec["Name"]}
        if self.kind == "configs":
            seen["labels"] = label_set(spec.get("Labels"))
            data = spec.get("Data") or ""
            if known.get("data_raw"):
                seen["data_raw"] = base64.b64decode(data).decode()
            else:
                seen["data"] = data
        return found["ID"], seen

    def update(self, identity: str, wanted: Attributes) -> Attributes:
        raise EngineError(f"{self.kind[:-1]} {identity} cannot be changed in place")

    def delete(self, identity: str, known: Attributes) -> None:
        try:
            self.engine.delete(path_of(self.kind, identity))
        except EngineError as error:
            if not error.missing:
                raise
