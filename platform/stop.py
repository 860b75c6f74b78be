"""`stop`: end what this checkout started and nothing else."""

from __future__ import annotations

import shutil
import signal

import kernel
import machine
import processes
import supervisor
import swarm
from clusters import clusters
from engine import Choice, other_engines, stored_choice
from home import Home
from lock import only_one, say
from parts import Part, load_parts
from problem import Problem, Problems
from processes import Process
from wire import healthy


def stop(home: Home, *, delete_data: bool) -> None:
    """Stop the supervisor and the parts, and take away what they left in the kernel.

    The data stays unless `delete_data`: then images, volumes, the Pulumi state and the releases go too.
    Problems, before anything is stopped, when hosts of this machine need that state to be removed.
    """
    left = clusters(home)
    if delete_data and left:
        what = "hosts of cluster {} run on this machine, and nothing removes them once its state is deleted"
        raise Problems([Problem(what.format(cluster), f"pulumi destroy -s {cluster} first") for cluster in left])
    if not (home.conf.exists() or delete_data):
        say("nothing runs, nothing to stop")
        return
    with only_one(home):
        choice = stored_choice(home)
        watcher = processes.load(supervisor.record_path(home))
        if watcher is not None:
            # First, so that it restarts nothing; it leaves the parts alone.
            watcher.stop(30)
        _end(home, load_parts(home))
        if choice is not None and not choice.ours:
            _leave_machines_engine(home, choice, delete_data=delete_data)
        tables = kernel.remove_nft_tables(home)
        if choice is not None and choice.ours:
            kernel.clean(home, shared=bool(other_engines(home)))
        else:
            kernel.unmount(kernel.roots(home))
        if delete_data:
            _delete_data(home)
        shutil.rmtree(home.run, ignore_errors=True)
        removed = f", removed nftables {', '.join(tables)}" if tables else ""
        say(f"stopped{removed}; {'data deleted' if delete_data else f'data is kept in {home.data}'}")
        for cluster in left:
            say(f"hosts of cluster {cluster} go on running; pulumi destroy -s {cluster} removes them")


def _end(home: Home, parts: list[Part]) -> None:
    """End the parts; all get their signal at once, because the engine's containers take their time."""
    ending: list[tuple[Part, Process]] = []
    for part in parts:
        process = processes.load(part.record(home)) or processes.running(list(part.argv))
        if process is not None:
            process.signal(signal.SIGTERM)
            ending.append((part, process))
    for part, process in ending:
        if not process.wait(3):
            say(f"waiting for {part.name} to end")
            process.stop(part.patience)


def _leave_machines_engine(home: Home, choice: Choice, *, delete_data: bool) -> None:
    if not healthy("docker", choice.socket):
        say(f"the engine on {choice.socket} does not answer: nothing was removed from it")
        return
    if delete_data:
        say(f"removed {machine.remove_labelled(home, choice.engine)} things of this checkout from {choice.socket}")
        say(swarm.leave_foreign(home, choice.engine))
        return
    # Leaving the Swarm would destroy the configs and secrets that the Pulumi state goes on listing.
    removed = machine.remove_services(home, choice.engine)
    say(
        f"removed {removed} services of this checkout from {choice.socket}; their data, networks, configs and secrets "
        "stay there, and so does the Swarm: `make dev` brings the services back"
    )


def _delete_data(home: Home) -> None:
    left = kernel.mounts(kernel.roots(home))
    if left:
        raise Problem(f"{left[0]} is still mounted", "unmount it, then run this again")
    for folder in (home.data, home.stele / "state", home.stele / "releases", home.conf, home.docker_config / "buildx"):
        if folder.exists():
            shutil.rmtree(folder)
