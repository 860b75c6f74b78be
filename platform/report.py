"""`status`, `env` and `doctor`: what runs, how to reach it, what is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import builder
import kernel
import processes
import store
import supervisor
from clusters import clusters
from engine import Choice, choose, own_socket, stored_choice
from home import Home, check_folders, check_space, free_space, read_json
from parts import Part, last_lines, load_parts
from problem import Problem, Problems
from settings import Settings, load_settings
from up import preflight, wanted_parts
from wire import healthy

UP = "run `platform/local up`"


def status(home: Home) -> bool:
    """Print one line per part; whether all is well."""
    choice, parts = stored_choice(home), load_parts(home)
    if choice is None or not parts:
        print("not started: run `platform/local up`")
        return False
    well = True
    if not choice.ours:
        well = healthy("docker", choice.socket)
        print(f"{'engine':10} {'healthy' if well else 'not answering':14} {choice.socket} (the machine's own)")
    for part in parts:
        process = processes.load(part.record(home))
        state, restarts = part_state(home, part)
        well &= state == "healthy"
        where = f"127.0.0.1:{part.health[1]}" if part.health[1].isdigit() else part.health[1]
        print(f"{part.name:10} {state:14} {where}, pid {process.pid if process else '-'}, {restarts} restarts")
    watcher = processes.load(supervisor.record_path(home))
    print(f"{'supervisor':10} {'healthy' if watcher else 'stopped':14} pid {watcher.pid if watcher else '-'}")
    return well and watcher is not None


def part_state(home: Home, part: Part) -> tuple[str, int]:
    """What a part does now (healthy, starting, restarting, crash loop, stopped) and its restarts so far."""
    supervised = processes.load(supervisor.record_path(home)) is not None
    row = read_json(home.run / "state.json").get("parts", {}).get(part.name, {}) if supervised else {}
    restarts = int(row.get("restarts", 0))
    if processes.load(part.record(home)) is None:
        state = row.get("state", "stopped")
        return ("restarting" if state == "healthy" else str(state)), restarts
    if part.answers():
        return "healthy", restarts
    state = row.get("state", "not answering")
    return ("not answering" if state == "healthy" else str(state)), restarts


def env(home: Home) -> None:
    """Print `export` lines for a shell."""
    settings = load_settings(home, dict(os.environ))
    choice = stored_choice(home)
    values = {
        "DOCKER_HOST": f"unix://{choice.socket if choice else own_socket(home)}",
        "DOCKER_CONFIG": str(home.docker_config),
        "BUILDX_BUILDER": builder.NAME,
        "BUILDKIT_HOST": f"unix://{home.run}/buildkit.sock",
        "STELE_BUILDER": builder.NAME,
        "STELE_REGISTRY": f"127.0.0.1:{settings.registry_port}",
        "STELE_STORE": store.address(settings),
        "STELE_STORE_PASSAGE": str(store.passage(home)),
        "STELE_STORE_ADMIN": str(store.keys(home)),
        "STELE_CHECKOUT_ID": home.id,
        "STELE_RUN": str(home.run),
    }
    for key, value in values.items():
        quoted = value.replace("'", "'\\''")
        print(f"export {key}='{quoted}'")


def doctor(home: Home) -> bool:
    """Print `ok` or what is wrong and the mend, one line each; whether all is well. Changes nothing."""
    well = True
    for finding in _findings(home):
        if isinstance(finding, str):
            print(f"ok    {finding}")
        else:
            well = False
            print(f"wrong {finding}")
    return well


def _findings(home: Home) -> Iterator[str | Problem]:
    try:
        check_folders(home)
        check_space(home)
        settings = load_settings(home, dict(os.environ))
        choice = choose(home, dict(os.environ))
        parts = wanted_parts(home, settings, choice, write=False)
    except Problem as problem:
        yield problem
        return
    except Problems as several:
        yield from several.problems
        return
    yield f"disk: {home.data} is writable, {free_space(home) >> 30} GiB free"
    for cluster, hosts in clusters(home).items():
        yield f"cluster: {cluster} has {hosts} host{'s' * (hosts > 1)} on this machine"
    if not load_parts(home):
        yield from _could_start(home, settings, choice, parts)
        return
    for part in parts:
        yield _part_finding(home, part)
    if healthy("docker", choice.socket):
        yield from _engine_findings(home, settings, choice)
    elif not choice.ours:
        yield Problem(f"engine: {choice.socket} does not answer", "start the machine's engine")
    if builder.registered(home):
        yield f"builder: {builder.NAME} is registered with buildx"
    else:
        yield Problem(f"builder: {builder.NAME} is not registered with buildx", UP)
    watcher = processes.load(supervisor.record_path(home))
    yield f"supervisor: pid {watcher.pid}" if watcher else Problem("supervisor: not running, nothing is restarted", UP)


def _could_start(home: Home, settings: Settings, choice: Choice, parts: list[Part]) -> Iterator[str | Problem]:
    try:
        preflight(home, settings, choice, parts)
    except Problems as several:
        yield from several.problems
        return
    yield "programs and ports: all there and free"
    yield Problem("platform: not started", UP)


def _part_finding(home: Home, part: Part) -> str | Problem:
    state, restarts = part_state(home, part)
    if state == "healthy":
        return f"{part.name}: answers on {part.health[1]}, {restarts} restarts"
    last = (last_lines(part.log(home), 1) or ["its log is empty"])[0]
    mend = UP if state == "stopped" else f"see {part.log(home)}; it ends with: {last}"
    return Problem(f"{part.name}: {state}, {restarts} restarts", mend)


def _engine_findings(home: Home, settings: Settings, choice: Choice) -> Iterator[str | Problem]:
    info = choice.engine.get("/info")
    owner = "our own" if choice.ours else "the machine's own"
    yield f"engine: {owner}, Docker {info['ServerVersion']} on {choice.socket}"
    if info["Driver"] not in ("overlay2", "overlayfs"):
        yield Problem(f"engine: storage driver {info['Driver']} is slow", "keep the data on ext4 or xfs")
    state = info["Swarm"]["LocalNodeState"]
    manager = state == "active" and info["Swarm"]["ControlAvailable"]
    yield (
        f"swarm: active, this node manages it ({info['Swarm']['NodeAddr']})"
        if manager
        else Problem(f"swarm: {state}", UP)
    )
    if choice.ours:
        guarded = ("inet", kernel.guard_name(home)) in kernel.nft_tables()
        yield (
            f"vxlan: UDP {settings.data_path_port} is closed to other machines"
            if guarded
            else Problem(
                f"vxlan: UDP {settings.data_path_port} listens on every address",
                f"{UP} with nftables installed" if not Path("/usr/sbin/nft").exists() else UP,
            )
        )
