"""The Engine API's service as attributes. What is left out here is left out by the official plugin too: it matters."""

from __future__ import annotations

from typing import Any

from .durations import short_duration
from .small import label_set

Attributes = dict[str, Any]


def service_state(service: Attributes) -> Attributes | None:
    """The attributes of a service; None as long as the engine does not show how it is reached."""
    spec = service["Spec"]
    endpoint = service.get("Endpoint") or {}
    mode = (endpoint.get("Spec") or {}).get("Mode")
    asked = (spec.get("EndpointSpec") or {}).get("Mode")
    if not mode and not asked:
        return None
    ports = (endpoint if mode else spec["EndpointSpec"]).get("Ports")
    return {
        "name": spec["Name"],
        "labels": label_set(spec.get("Labels")),
        "task_spec": [_task(spec["TaskTemplate"])],
        "mode": [_mode(spec["Mode"])],
        "update_config": _rollout(spec.get("UpdateConfig")),
        "rollback_config": _rollout(spec.get("RollbackConfig")),
        "endpoint_spec": [{"mode": mode or asked, "ports": [_port(port) for port in ports or []]}],
    }


def _task(task: Attributes) -> Attributes:
    out: Attributes = {"force_update": task.get("ForceUpdate") or 0}
    if "ContainerSpec" in task:
        out["container_spec"] = [_container(task["ContainerSpec"])]
    if task.get("Resources") is not None:
        out["resources"] = [_resources(task["Resources"])]
    if task.get("RestartPolicy") is not None:
        out["restart_policy"] = [_restart(task["RestartPolicy"])]
    if task.get("Placement") is not None:
        out["placement"] = [_placement(task["Placement"])]
    if task.get("Runtime"):
        out["runtime"] = task["Runtime"]
    if task.get("Networks"):
        out["networks_advanced"] = [_network(item) for item in task["Networks"]]
    if task.get("LogDriver"):
        driver = task["LogDriver"]
        out["log_driver"] = [{"name": driver.get("Name") or "", **_if("options", driver.get("Options"))}]
    return out


def _if(key: str, value: Any) -> Attributes:
    return {key: value} if value else {}


def _network(item: Attributes) -> Attributes:
    options = [f"{key}={value}" for key, value in (item.get("DriverOpts") or {}).items()]
    return {"id": item["Target"], "driver_opts": options, **_if("aliases", item.get("Aliases"))}


_PLAIN = (
    ("image", "Image"),
    ("command", "Command"),
    ("args", "Args"),
    ("hostname", "Hostname"),
    ("user", "User"),
    ("dir", "Dir"),
    ("groups", "Groups"),
    ("read_only", "ReadOnly"),
    ("stop_signal", "StopSignal"),
    ("isolation", "Isolation"),
    ("sysctl", "Sysctls"),
    ("cap_add", "CapabilityAdd"),
    ("cap_drop", "CapabilityDrop"),
)


def _container(spec: Attributes) -> Attributes:
    out: Attributes = {key: spec[name] for key, name in _PLAIN if spec.get(name)}
    if spec.get("Labels"):
        out["labels"] = label_set(spec["Labels"])
    if spec.get("Env"):
        out["env"] = {key: value for key, _, value in (entry.partition("=") for entry in spec["Env"] if entry)}
    if spec.get("Mounts"):
        out["mounts"] = [_mount(item) for item in spec["Mounts"]]
    if spec.get("Hosts"):
        out["hosts"] = [dict(zip(("ip", "host"), entry.split(" ")[:2], strict=False)) for entry in spec["Hosts"]]
    for kind in ("Secret", "Config"):
        if spec.get(f"{kind}s"):
            out[f"{kind.lower()}s"] = [_file(item, kind) for item in spec[f"{kind}s"]]
    return {**out, **_container_blocks(spec)}


def _container_blocks(spec: Attributes) -> Attributes:
    """What the engine shows as soon as it was ever asked for, even if with zero values only."""
    out: Attributes = {}
    if spec.get("Privileges") is not None:
        out["privileges"] = [_privileges(spec["Privileges"])]
    if spec.get("StopGracePeriod") is not None:
        out["stop_grace_period"] = short_duration(spec["StopGracePeriod"])
    if spec.get("Healthcheck") is not None:
        out["healthcheck"] = [_healthcheck(spec["Healthcheck"])]
    if spec.get("DNSConfig") is not None:
        names = (("nameservers", "Nameservers"), ("search", "Search"), ("options", "Options"))
        out["dns_config"] = [{key: spec["DNSConfig"][name] for key, name in names if spec["DNSConfig"].get(name)}]
    if spec.get("Init") is not None:
        out["init"] = spec["Init"]
    return out


def _healthcheck(check: Attributes) -> Attributes:
    return {
        **_if("test", check.get("Test")),
        "interval": short_duration(check.get("Interval") or 0),
        "timeout": short_duration(check.get("Timeout") or 0),
        "start_period": short_duration(check.get("StartPeriod") or 0),
        "retries": check.get("Retries") or 0,
    }


def _file(item: Attributes, kind: str) -> Attributes:
    low, target = kind.lower(), item.get("File")
    out: Attributes = {f"{low}_id": item[f"{kind}ID"], **_if(f"{low}_name", item.get(f"{kind}Name"))}
    if target is not None:
        out |= {"file_name": target["Name"], "file_mode": target.get("Mode") or 0}
        out |= {**_if("file_uid", target.get("UID")), **_if("file_gid", target.get("GID"))}
    return out


def _mount(item: Attributes) -> Attributes:
    out: Attributes = {
        "target": item.get("Target") or "",
        "source": item.get("Source") or "",
        "type": item["Type"],
        "read_only": bool(item.get("ReadOnly")),
    }
    if item.get("BindOptions") is not None:
        out["bind_options"] = [_if("propagation", item["BindOptions"].get("Propagation"))]
    if item.get("VolumeOptions") is not None:
        options = item["VolumeOptions"]
        out["volume_options"] = [{"no_copy": bool(options.get("NoCopy")), "labels": label_set(options.get("Labels"))}]
        driver = options.get("DriverConfig")
        if driver is not None:
            out["volume_options"][0] |= _if("driver_name", driver.get("Name"))
            out["volume_options"][0]["driver_options"] = driver.get("Options") or {}
    if item.get("TmpfsOptions") is not None:
        options = item["TmpfsOptions"]
        out["tmpfs_options"] = [
            {"size_bytes": options.get("SizeBytes") or 0, "mode": (options.get("Mode") or 0) & 0o777}
        ]
    return out


def _privileges(item: Attributes) -> Attributes:
    out: Attributes = {}
    if item.get("CredentialSpec") is not None:
        spec = item["CredentialSpec"]
        out["credential_spec"] = [{"file": spec.get("File") or "", "registry": spec.get("Registry") or ""}]
    if item.get("SELinuxContext") is not None:
        context = item["SELinuxContext"]
        names = ("User", "Role", "Type", "Level")
        out["se_linux_context"] = [
            {
                "disable": bool(context.get("Disable")),
                **{name.lower(): context.get(name) or "" for name in names},
            }
        ]
    return out


def _resources(item: Attributes) -> Attributes:
    out: Attributes = {"limits": [], "reservation": []}
    if item.get("Limits") is not None:
        out["limits"] = [_amounts(item["Limits"])]
    if item.get("Reservations") is not None:
        found = item["Reservations"]
        out["reservation"] = [{**_amounts(found), "generic_resources": _generic(found.get("GenericResources"))}]
    return out


def _amounts(item: Attributes) -> Attributes:
    return {"nano_cpus": item.get("NanoCPUs") or 0, "memory_bytes": item.get("MemoryBytes") or 0}


def _generic(items: list[Attributes] | None) -> list[Attributes]:
    named, discrete = [], []
    for item in items or []:
        if item.get("NamedResourceSpec"):
            named.append(f"{item['NamedResourceSpec']['Kind']}={item['NamedResourceSpec']['Value']}")
        if item.get("DiscreteResourceSpec"):
            discrete.append(f"{item['DiscreteResourceSpec']['Kind']}={item['DiscreteResourceSpec']['Value']}")
    return [{"named_resources_spec": named, "discrete_resources_spec": discrete}] if items else []


def _restart(item: Attributes) -> Attributes:
    out: Attributes = _if("condition", item.get("Condition"))
    for key, name in (("delay", "Delay"), ("window", "Window")):
        if item.get(name) is not None:
            out[key] = short_duration(item[name])
    if item.get("MaxAttempts") is not None:
        out["max_attempts"] = item["MaxAttempts"]
    return out


def _placement(item: Attributes) -> Attributes:
    out: Attributes = {**_if("constraints", item.get("Constraints")), "max_replicas": item.get("MaxReplicas") or 0}
    if item.get("Preferences"):
        out["prefs"] = [entry["Spread"]["SpreadDescriptor"] for entry in item["Preferences"]]
    if item.get("Platforms"):
        out["platforms"] = [
            {"architecture": entry.get("Architecture") or "", "os": entry.get("OS") or ""}
            for entry in item["Platforms"]
        ]
    return out


def _mode(mode: Attributes) -> Attributes:
    out: Attributes = {"global": mode.get("Global") is not None}
    if mode.get("Replicated") is not None:
        replicas = mode["Replicated"].get("Replicas")
        out["replicated"] = [{} if replicas is None else {"replicas": replicas}]
    return out


def _rollout(config: Attributes | None) -> list[Attributes]:
    if config is None:
        return []
    return [
        {
            "parallelism": config.get("Parallelism") or 0,
            "delay": short_duration(config.get("Delay") or 0),
            "failure_action": config.get("FailureAction") or "",
            "monitor": short_duration(config.get("Monitor") or 0),
            "max_failure_ratio": f"{config.get('MaxFailureRatio') or 0:.1f}",
            "order": config.get("Order") or "",
        }
    ]


def _port(port: Attributes) -> Attributes:
    return {
        "name": port.get("Name") or "",
        "protocol": port.get("Protocol") or "",
        "target_port": port["TargetPort"],
        "published_port": port.get("PublishedPort") or 0,
        "publish_mode": port.get("PublishMode") or "",
    }
