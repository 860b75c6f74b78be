"""A service's attributes as the Engine API's service specification."""

from __future__ import annotations

from typing import Any

from .durations import lenient_duration
from .small import label_map

Attributes = dict[str, Any]


def service_spec(wanted: Attributes) -> Attributes:
    """The whole specification."""
    spec: Attributes = {
        "Name": wanted["name"],
        "TaskTemplate": _task(wanted["task_spec"][0]),
        "Mode": _mode(wanted.get("mode")),
        "EndpointSpec": _endpoint(wanted.get("endpoint_spec")),
    }
    if wanted.get("labels"):
        spec["Labels"] = label_map(wanted["labels"])
    for key, name in (("update_config", "UpdateConfig"), ("rollback_config", "RollbackConfig")):
        if wanted.get(key):
            spec[name] = _rollout(wanted[key][0])
    return spec


def _first(items: list[Any] | None) -> Attributes:
    return items[0] if items and items[0] else {}


def _task(task: Attributes) -> Attributes:
    placement, restart = _first(task.get("placement")), _first(task.get("restart_policy"))
    out: Attributes = {
        "ContainerSpec": container_spec(task["container_spec"][0]),
        "Resources": _resources(_first(task.get("resources"))),
        "RestartPolicy": _restart(restart),
        "Placement": {
            "Constraints": placement.get("constraints") or [],
            "Preferences": [{"Spread": {"SpreadDescriptor": item}} for item in placement.get("prefs") or []],
            "MaxReplicas": placement.get("max_replicas") or 0,
            "Platforms": [
                {"Architecture": item["architecture"], "OS": item["os"]} for item in placement.get("platforms") or []
            ],
        },
        "ForceUpdate": task.get("force_update") or 0,
        "Networks": [_network(item) for item in task.get("networks_advanced") or []],
    }
    if task.get("runtime"):
        out["Runtime"] = task["runtime"]
    if task.get("log_driver"):
        driver = task["log_driver"][0]
        out["LogDriver"] = {"Name": driver["name"], "Options": driver.get("options") or {}}
    return out


def _network(item: Attributes) -> Attributes:
    target = item.get("id") or item.get("name")
    if not target:
        raise ValueError("network 'name' or 'id' must be specified")
    options = dict(option.split("=", 1) for option in item.get("driver_opts") or [] if "=" in option)
    return {"Target": target, "Aliases": item.get("aliases") or [], "DriverOpts": options}


def _restart(restart: Attributes) -> Attributes:
    if not restart:
        return {}
    return {
        "Condition": restart.get("condition") or "",
        "Delay": lenient_duration(restart.get("delay")),
        "MaxAttempts": restart.get("max_attempts") or 0,
        "Window": lenient_duration(restart.get("window")),
    }


def _resources(resources: Attributes) -> Attributes:
    out: Attributes = {}
    limits, reservation = resources.get("limits"), resources.get("reservation")
    if limits:
        out["Limits"] = _amounts(_first(limits))
    if reservation:
        generic = _first(_first(reservation).get("generic_resources"))
        out["Reservations"] = {**_amounts(_first(reservation)), "GenericResources": _generic(generic)}
    return out


def _amounts(item: Attributes) -> Attributes:
    return {"NanoCPUs": item.get("nano_cpus") or 0, "MemoryBytes": item.get("memory_bytes") or 0}


def _generic(item: Attributes) -> list[Attributes]:
    out: list[Attributes] = []
    for text in item.get("named_resources_spec") or []:
        kind, _, value = text.partition("=")
        out.append({"NamedResourceSpec": {"Kind": kind, "Value": value}})
    for text in item.get("discrete_resources_spec") or []:
        kind, _, value = text.partition("=")
        out.append({"DiscreteResourceSpec": {"Kind": kind, "Value": int(value)}})
    return out


def container_spec(item: Attributes) -> Attributes:
    """The containers of the service."""
    out: Attributes = {
        "Image": item["image"],
        "Labels": label_map(item.get("labels")),
        "Command": item.get("command") or [],
        "Args": item.get("args") or [],
        "Hostname": item.get("hostname") or "",
        "Env": [f"{key}={value}" for key, value in sorted((item.get("env") or {}).items())],
        "Dir": item.get("dir") or "",
        "User": item.get("user") or "",
        "Groups": item.get("groups") or [],
        "ReadOnly": bool(item.get("read_only")),
        "Mounts": [_mount(mount) for mount in item.get("mounts") or []],
        "StopSignal": item.get("stop_signal") or "",
        "StopGracePeriod": lenient_duration(item.get("stop_grace_period")),
        "Healthcheck": _healthcheck(_first(item.get("healthcheck"))),
        "Hosts": [f"{host['ip']} {host['host']}" for host in item.get("hosts") or []],
        "DNSConfig": _dns(_first(item.get("dns_config"))),
        "Secrets": [_file(entry, "Secret") for entry in item.get("secrets") or []],
        "Configs": [_file(entry, "Config") for entry in item.get("configs") or []],
        "Isolation": item.get("isolation") or "",
        "Sysctls": item.get("sysctl") or {},
        "CapabilityAdd": item.get("cap_add") or [],
        "CapabilityDrop": item.get("cap_drop") or [],
        "Init": bool(item.get("init")),
    }
    if item.get("privileges"):
        out["Privileges"] = _privileges(_first(item["privileges"]))
    return out


def _healthcheck(item: Attributes) -> Attributes:
    out: Attributes = {
        name: lenient_duration(item.get(key))
        for key, name in (("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod"))
        if item.get(key)
    }
    if item.get("test"):
        out["Test"] = item["test"]
    if item.get("retries"):
        out["Retries"] = item["retries"]
    return out


def _dns(item: Attributes) -> Attributes:
    names = (("nameservers", "Nameservers"), ("search", "Search"), ("options", "Options"))
    return {name: item[key] for key, name in names if item.get(key)}


def _file(entry: Attributes, kind: str) -> Attributes:
    low = kind.lower()
    return {
        f"{kind}ID": entry[f"{low}_id"],
        f"{kind}Name": entry.get(f"{low}_name") or "",
        "File": {
            "Name": entry["file_name"],
            "UID": entry.get("file_uid") or "",
            "GID": entry.get("file_gid") or "",
            "Mode": entry.get("file_mode") or 0,
        },
    }


def _mount(mount: Attributes) -> Attributes:
    out: Attributes = {
        "Type": mount["type"],
        "Target": mount["target"],
        "Source": mount.get("source") or "",
        "ReadOnly": bool(mount.get("read_only")),
    }
    if mount.get("bind_options"):
        out["BindOptions"] = {"Propagation": _first(mount["bind_options"]).get("propagation") or ""}
    if mount.get("volume_options"):
        options = _first(mount["volume_options"])
        out["VolumeOptions"] = {
            "NoCopy": bool(options.get("no_copy")),
            "Labels": label_map(options.get("labels")),
            "DriverConfig": {"Name": options.get("driver_name") or "", "Options": options.get("driver_options") or {}},
        }
    if mount.get("tmpfs_options"):
        options = _first(mount["tmpfs_options"])
        out["TmpfsOptions"] = {"SizeBytes": options.get("size_bytes") or 0, "Mode": options.get("mode") or 0}
    return out


def _privileges(item: Attributes) -> Attributes:
    out: Attributes = {}
    if item.get("credential_spec"):
        # Upstream writes both into File, the registry last; a state must mean the same under both plugins.
        spec = _first(item["credential_spec"])
        out["CredentialSpec"] = {"File": spec.get("registry") or ""}
    if item.get("se_linux_context"):
        context = _first(item["se_linux_context"])
        out["SELinuxContext"] = {
            "Disable": bool(context.get("disable")),
            **{name: context.get(name.lower()) or "" for name in ("User", "Role", "Type", "Level")},
        }
    return out


def _mode(mode: list[Attributes] | None) -> Attributes:
    item = _first(mode)
    out: Attributes = {}
    if item.get("replicated"):
        replicas = _first(item["replicated"]).get("replicas")
        out["Replicated"] = {} if replicas is None else {"Replicas": replicas}
    if item.get("global"):
        out["Global"] = {}
    return out


def _endpoint(endpoint: list[Attributes] | None) -> Attributes:
    item = _first(endpoint)
    out: Attributes = {}
    if item.get("mode"):
        out["Mode"] = item["mode"]
    out["Ports"] = [
        {
            "Name": port.get("name") or "",
            "Protocol": port.get("protocol") or "",
            "TargetPort": port["target_port"],
            "PublishedPort": port.get("published_port") or 0,
            "PublishMode": port.get("publish_mode") or "",
        }
        for port in item.get("ports") or []
    ]
    return out


def _rollout(item: Attributes) -> Attributes:
    return {
        "Parallelism": item.get("parallelism") or 0,
        "Delay": lenient_duration(item.get("delay")),
        "FailureAction": item.get("failure_action") or "",
        "Monitor": lenient_duration(item.get("monitor")),
        "MaxFailureRatio": float(item.get("max_failure_ratio") or 0),
        "Order": item.get("order") or "",
    }
