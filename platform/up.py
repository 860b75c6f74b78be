"""`up`: start what does not run, and nothing when all is well."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from dataclasses import replace

import builder
import kernel
import ports
import processes
import supervisor
import swarm
from engine import Choice, choose, engine_part, other_engines, store_choice
from home import Home, check_folders, check_space, make_folders, read_json, write_json
from lock import only_one, say
from parts import Part, environment, last_lines, load_parts
from ports import Need
from problem import Problem, Problems
from processes import Process
from services import buildkit_part, registry_part
from settings import Settings, is_chosen, load_settings, store_settings
from store import door_part, sealer_part, store_part

LONGEST_START = 180
"""Seconds that `up` waits for the parts; a cold dockerd on a slow disk takes about 20."""


def up(home: Home, command: list[str]) -> None:
    """Start what does not run yet and wait until every part answers.

    `command` is the supervisor's command line. Raises Problem or Problems; then nothing of somebody else's
    was touched, and the parts that do run go on.
    """
    with only_one(home):
        make_folders(home)
        check_space(home)
        settings = load_settings(home, dict(os.environ))
        choice = choose(home, dict(os.environ))
        parts = wanted_parts(home, settings, choice)
        if choice.ours and "engine" not in _running(home, parts):
            kernel.recover(home)
            _await_overlays_gone(settings)
            settings = _own_overlay_port(home, settings)
        preflight(home, settings, choice, parts)
        store_settings(home, settings)
        store_choice(home, choice)
        if choice.ours:
            kernel.remember(home)
        _supervise(home, parts, command)
        if not choice.ours:
            say(f"using the engine of this machine on {choice.socket}; it will not be stopped")
        line = swarm.ensure(home, choice, settings)
        if choice.ours and not kernel.guard(home, settings.data_path_port):
            say(f"UDP port {settings.data_path_port} (VXLAN) listens on every address: install nftables to close it")
        if not builder.registered(home):
            builder.register(home)
        say(
            f"up: engine {choice.socket}, registry 127.0.0.1:{settings.registry_port}, builder stele, "
            f"store 127.0.0.1:{settings.store_port}; {line}"
        )


def check(home: Home) -> None:
    """Problem or Problems that `up` would raise on this machine, before anything is installed. Changes nothing."""
    check_folders(home)
    check_space(home)
    settings = load_settings(home, dict(os.environ))
    # Programs may be missing, so the parts are those of the last `up`: what runs of them is no conflict.
    preflight(home, settings, choose(home, dict(os.environ)), load_parts(home), recovered=False)


def _await_overlays_gone(settings: Settings) -> None:
    """Wait until the kernel has taken down the overlay networks of a killed engine (30 s at most).

    It does so in the background after the unmount, and holds their UDP port until then.
    """
    deadline = time.monotonic() + 30
    while ports.by_kernel(settings.data_path_port) and time.monotonic() < deadline:
        time.sleep(0.1)


def _own_overlay_port(home: Home, settings: Settings) -> Settings:
    """The settings, with a free port for overlay networks where nobody chose one and the default is the kernel's.

    So it is beside a Swarm in another network namespace, or after an engine that was killed and never cleaned up.
    """
    if is_chosen(home, dict(os.environ), "data_path_port") or not ports.by_kernel(settings.data_path_port):
        return settings
    free = (port for port in range(settings.data_path_port + 1, 4800) if not ports.taken("0.0.0.0", port, "udp"))  # noqa: S104
    found = replace(settings, data_path_port=next(free, settings.data_path_port))
    say(f"UDP port {settings.data_path_port} holds overlay networks already; ours use {found.data_path_port}")
    return found


def wanted_parts(home: Home, settings: Settings, choice: Choice, *, write: bool = True) -> list[Part]:
    """The parts that run here; Problems when programs are missing.

    `write`: also write their configuration, and import BuildKit's image where it runs in a container.
    """
    makers: list[Callable[[], Part]] = [
        lambda: registry_part(home, settings, write=write),
        lambda: buildkit_part(home, settings, choice, write=write),
        lambda: store_part(home, write=write),
        lambda: door_part(home, settings, write=write),
        lambda: sealer_part(home, settings),
    ]
    if choice.ours:
        makers.insert(0, lambda: engine_part(home, write=write))
    problems: list[Problem] = []
    parts: list[Part] = []
    for make in makers:
        try:
            parts.append(make())
        except Problem as problem:
            problems.append(problem)
    if problems:
        raise Problems(problems)
    return parts


def preflight(home: Home, settings: Settings, choice: Choice, parts: list[Part], *, recovered: bool = True) -> None:
    """Problems for every port and engine that somebody else holds, before anything is started. Changes nothing.

    `recovered`: what an engine that was killed left in the kernel is gone; if not, the overlays' port may be its own.
    """
    current = _running(home, parts)
    mine = {process.pid for process in current.values()}
    needs = loopback_needs(settings)
    found: list[Problem | None] = []
    if choice.ours and "engine" not in current:
        needs += engine_needs(settings)
        if not recovered and ports.by_kernel(settings.data_path_port):
            needs = [need for need in needs if need.port != settings.data_path_port]
        found += [two_engines(pid) for pid in other_engines(home)]
        found.append(swarm.check_settings(home, settings))
    found += [need.conflict(mine) for need in needs]
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise Problems(problems)


def _running(home: Home, parts: list[Part]) -> dict[str, Process]:
    """The processes of those parts that run."""
    found = {part.name: processes.load(part.record(home)) or processes.running(list(part.argv)) for part in parts}
    return {name: process for name, process in found.items() if process is not None}


def two_engines(pid: int) -> Problem:
    """The Problem of another dockerd in this network namespace."""
    folder = ports.checkout(pid)
    stop_it = f"make -C {shlex.quote(folder)} down" if folder else "stop that one"
    return Problem(
        f"another Docker engine runs here ({ports.describe(pid)})",
        f"two engines disturb each other's firewall rules: {stop_it}, or use it (DOCKER_HOST=unix://<its socket>, "
        "after `platform/local stop --delete-data` if this checkout has an engine with data)",
    )


def loopback_needs(settings: Settings) -> list[Need]:
    """The ports of the registry and the store."""
    registry, store = settings.registry_port, settings.store_port
    mend = "set STELE_{}_PORT (say {}), or end it"
    return [
        Need("the registry", "127.0.0.1", registry, "tcp", mend.format("REGISTRY", registry + 100)),
        Need("the store", "127.0.0.1", store, "tcp", mend.format("STORE", store + 100)),
    ]


def engine_needs(settings: Settings) -> list[Need]:
    """The ports of an engine of our own with its Swarm."""
    manager = f"set STELE_SWARM_PORT (say {settings.swarm_port + 100}), or end it"
    gossip = "set STELE_SWARM_ADDRESS=127.0.0.2 (Docker has no setting for this port), or end it"
    overlay = f"set STELE_DATA_PATH_PORT (say {settings.data_path_port + 1}), or end it"
    return [
        Need("the Swarm manager", settings.swarm_address, settings.swarm_port, "tcp", manager),
        Need("the Swarm's gossip", settings.swarm_address, 7946, "tcp", gossip),
        Need("the Swarm's gossip", settings.swarm_address, 7946, "udp", gossip),
        # The kernel's VXLAN socket listens on every address, so it collides with a listener on any.
        Need("overlay networks", "0.0.0.0", settings.data_path_port, "udp", overlay),  # noqa: S104
    ]


def _supervise(home: Home, parts: list[Part], command: list[str]) -> None:
    """Hand the parts to the supervisor and wait until all answer; Problem with the last log lines if not."""
    handed = load_parts(home) == parts and all(_current(home, part) for part in parts)
    started = spoken = time.monotonic()
    asked = f"{os.getpid()}-{started}"
    if not handed:
        write_json(home.conf / "parts.json", {"asked": asked, "parts": [vars(part) for part in parts]})
    while True:
        if not handed or not supervisor.serves(home):
            supervisor.start(home, command, environment(dict(os.environ)))
            handed = True
        waiting = [part for part in parts if not (_current(home, part) and part.answers())]
        if not waiting:
            return
        _give_up(home, waiting, asked, time.monotonic() - started)
        if time.monotonic() - spoken > 3:
            spoken = time.monotonic()
            say(f"waiting for {', '.join(part.name for part in waiting)} ({spoken - started:.0f} s)")
        time.sleep(0.1)


def _current(home: Home, part: Part) -> bool:
    """Whether the recorded process runs and was started with this specification."""
    record = part.record(home)
    return processes.load(record) is not None and supervisor.read_spec(record) == part.spec


def _give_up(home: Home, waiting: list[Part], asked: str, seconds: float) -> None:
    report = read_json(home.run / "state.json")
    # What the supervisor wrote before it had read this request tells of the past.
    states = report.get("parts", {}) if report.get("asked") == asked else {}
    for part in waiting:
        if states.get(part.name, {}).get("state") == "crash loop":
            raise failed(home, part, "ends again and again")
    if seconds > LONGEST_START:
        raise failed(home, waiting[0], f"does not answer after {LONGEST_START} s")


def failed(home: Home, part: Part, what: str) -> Problem:
    """A part's Problem with the end of its log."""
    lines = "\n  ".join(last_lines(part.log(home)))
    return Problem(f"{part.name} {what}", f"see {part.log(home)}, which ends with\n  {lines}")
