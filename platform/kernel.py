"""What our engine leaves in the kernel (mounts, links, firewall rules), and taking it away again."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
from pathlib import Path

import processes
from home import Home, read_json, write_json
from processes import Process

IPTABLES = ("filter", "nat", "mangle", "raw")
"""Tables that iptables-nft makes when it is first used."""
BRIDGES = ("docker0", "docker_gwbridge")
DOORS = "29000-29999"
"""As components/settings.py has it: docker publishes on every address, and its rules come before `input`."""
RULE = re.compile(r"\b(DOCKER[-A-Z0-9]*|docker0|docker_gwbridge|br-[0-9a-f]{12})\b")


def run(*command: str, stdin: str = "") -> str:
    """The output of a system command, empty when it fails or is not installed."""
    try:
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""


def links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def nft_tables() -> list[tuple[str, str]]:
    """(family, name) of every nftables table."""
    rows = [line.split() for line in run("nft", "list", "tables").splitlines()]
    return [(row[1], row[2]) for row in rows if len(row) == 3]


def remember(home: Home) -> None:
    """Note, before our engine starts for the first time since boot, what the kernel holds without it."""
    path = home.run / "before.json"
    if read_json(path).get("boot") == processes.boot_id():
        return
    policy = [line for line in run("iptables", "-S", "FORWARD").splitlines() if line.startswith("-P")]
    write_json(
        path,
        {
            "boot": processes.boot_id(),
            "bridges": sorted(links() & set(BRIDGES)),
            "tables": [list(table) for table in nft_tables()],
            "forward": policy[0].split()[-1] if policy else "ACCEPT",
            "ip_forward": Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
        },
    )


def guard_name(home: Home) -> str:
    return f"stele_{home.id}_platform"


def guard(home: Home, port: int) -> bool:
    """Keep on this machine what listens on every address: the kernel's VXLAN socket, and the ports that front doors
    use behind their public one. False when nftables is not available."""
    name = guard_name(home)
    if ("inet", name) in nft_tables():
        return True
    rules = f"""table inet {name} {{
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname != "lo" udp dport {port} drop
  }}
  chain doors {{
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" tcp dport {DOORS} fib daddr type local drop
  }}
}}
"""
    run("nft", "-f", "-", stdin=rules)
    return ("inet", name) in nft_tables()


def remove_nft_tables(home: Home) -> list[str]:
    """Delete the nftables tables of this checkout (the guard, and what edges wrote): prefix stele_<id>."""
    mine = [(family, name) for family, name in nft_tables() if name.startswith(f"stele_{home.id}")]
    for family, name in mine:
        run("nft", "delete", "table", family, name)
    return [name for _, name in mine]


def recover(home: Home) -> None:
    """Before our engine starts after a kill: end what its predecessor left, which would hold its ports."""
    kill_leftovers(home)
    unmount((f"{home.data}/engine/", f"{home.run}/exec/"))
    _remove_vxlan()


def clean(home: Home, *, shared: bool) -> None:
    """After our engine has ended: end leftovers, unmount, remove links and firewall rules.

    `shared`: another engine works in this network namespace by now, so the links and rules may be its own.
    """
    kill_leftovers(home)
    unmount(roots(home))
    before = read_json(home.run / "before.json")
    if shared or before.get("boot") != processes.boot_id():
        return
    _remove_vxlan()
    _remove_links(set(before["bridges"]))
    _remove_rules()
    run("iptables", "-P", "FORWARD", str(before["forward"]))
    kept = [tuple(table) for table in before["tables"]]
    for family, name in nft_tables():
        if name in IPTABLES and (family, name) not in kept and _empty(family, name):
            run("nft", "delete", "table", family, name)
    Path("/proc/sys/net/ipv4/ip_forward").write_text(before["ip_forward"])


def kill_leftovers(home: Home) -> None:
    """End the shims and container processes of an engine that was killed."""
    folder = home.data / "engine" / "containers"
    ids = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    address = f"{home.run}/exec/"
    for pid in processes.all_pids():
        with contextlib.suppress(OSError):
            groups = Path(f"/proc/{pid}/cgroup").read_text()
            ours = any(argument.startswith(address) for argument in processes.arguments(pid))
            if ours or any(part in ids for part in re.findall(r"[0-9a-f]{64}", groups)):
                process = Process.of(pid)
                if process is not None:
                    process.signal(signal.SIGKILL)
                    process.wait(5)


def roots(home: Home) -> tuple[str, ...]:
    return (f"{home.data}/", f"{home.run}/")


def mounts(folders: tuple[str, ...]) -> list[str]:
    """Mount points under the folders, deepest first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    decoded = [point.encode().decode("unicode_escape") for point in points]
    return sorted((point for point in decoded if point.startswith(folders)), key=len, reverse=True)


def unmount(folders: tuple[str, ...]) -> None:
    """Unmount everything under the folders, what is busy lazily."""
    for option in ((), ("-l",)):
        for point in mounts(folders):
            run("umount", *option, point)


def _remove_links(kept: set[str]) -> None:
    for bridge in BRIDGES:
        if bridge in kept or bridge not in links():
            continue
        ports = Path(f"/sys/class/net/{bridge}/brif")
        for port in ports.iterdir() if ports.is_dir() else []:
            run("ip", "link", "delete", port.name)
        run("ip", "link", "delete", bridge)


def _remove_vxlan() -> None:
    for row in json.loads(run("ip", "-j", "link", "show", "type", "vxlan") or "[]"):
        # dockerd names its devices vx-<vni>-<network>; one stays behind when it is killed half-way.
        if str(row.get("ifname", "")).startswith("vx-"):
            run("ip", "link", "delete", row["ifname"])


def _remove_rules() -> None:
    for table in ("filter", "nat"):
        rules = run("iptables", "-t", table, "-S").splitlines()
        for rule in rules:
            if rule.startswith("-A ") and RULE.search(rule) and not rule.startswith("-A DOCKER"):
                run("iptables", "-t", table, "-D", *rule.split()[1:])
        chains = [rule.split()[1] for rule in rules if rule.startswith("-N DOCKER")]
        for verb in ("-F", "-X"):
            for chain in chains:
                run("iptables", "-t", table, verb, chain)


def _empty(family: str, name: str) -> bool:
    text = run("nft", "-j", "list", "table", family, name)
    objects = json.loads(text)["nftables"] if text else [{"rule": {}}]
    return not any("rule" in entry or entry.get("chain", {}).get("policy") == "drop" for entry in objects)
