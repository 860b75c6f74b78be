"""Why a generation did not get healthy: a witness watches its creation and tells, when it fails, what it saw.

The provider deletes a service that did not converge, and with it every task and log. So a before-create hook starts a
thread that looks at the engine twice a second; an error hook prints what it saw last.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import pulumi

LOG_LINES = 15
_POLL = 0.5  # seconds


class _Watch(threading.Thread):
    """Remembers the last state of a service's tasks and the last lines of their logs."""

    def __init__(self, service: str, window: int) -> None:
        super().__init__(daemon=True, name=f"witness-{service}")
        self._service = service
        self._rounds = int((window + 30) / _POLL)
        self.window = window
        self.done = threading.Event()
        self.states: list[str] = []
        self._logs: dict[str, list[str]] = {}

    @property
    def log(self) -> list[str]:
        """The last lines of the two newest containers: one that only just started has not failed yet."""
        return [line for lines in list(self._logs.values())[-2:] for line in lines]

    def run(self) -> None:
        import docker  # 0.15 s: paid only when something is created

        from hosts.engine_client import from_env

        try:
            client = from_env(timeout=5)
        except docker.errors.DockerException as error:
            self.states = [f"the engine does not answer: {error}"]
            return
        for _ in range(self._rounds):
            if self.done.wait(_POLL):
                return
            try:
                self._look(client)
            except (docker.errors.DockerException, OSError):
                continue  # not created yet, or already deleted: what was seen before stays

    def _look(self, client: Any) -> None:
        service = client.services.get(self._service)
        tasks = sorted(service.tasks(), key=lambda task: str(task["CreatedAt"]))
        if tasks:
            self.states = [_state(client, task) for task in tasks[-3:]]
        self._listen(client, service, tasks)

    def _listen(self, client: Any, service: Any, tasks: list[dict[str, Any]]) -> None:
        """Remember what each container said last, oldest first; what the service said where they are on another node.

        The service's log keeps its reader waiting until a task runs, which is what a bad generation never does.
        """
        import docker

        started = [task["Status"].get("ContainerStatus", {}).get("ContainerID") for task in tasks]
        here = False
        for container in list(filter(None, started))[-2:]:
            with contextlib.suppress(docker.errors.NotFound):
                said: bytes = client.api.logs(container, stdout=True, stderr=True, tail=LOG_LINES)
                self._logs[container] = said.decode(errors="replace").splitlines()
                here = True
        if not here and not self._logs.keys() - {self._service}:
            said = b"".join(service.logs(stdout=True, stderr=True, tail=LOG_LINES))
            if said:
                self._logs[self._service] = said.decode(errors="replace").splitlines()


def _state(client: Any, task: dict[str, Any]) -> str:
    import docker

    status = task["Status"]
    told = f"task {task['ID'][:12]}: {status['State']}"
    if status.get("Err"):
        told += f" ({status['Err']})"
    container = status.get("ContainerStatus", {}).get("ContainerID")
    if container and status["State"] in ("starting", "running"):
        with contextlib.suppress(docker.errors.NotFound):  # on another node, or just gone
            probes = (client.api.inspect_container(container)["State"].get("Health") or {}).get("Log") or []
            if probes:
                told += f", last health check exit {probes[-1]['ExitCode']}: {probes[-1]['Output'].strip()[-200:]}"
    return told


class Witness:
    """Hooks for every service of one program: watch each creation, tell what was seen when it fails.

    Bind them with ``ResourceOptions(hooks=witness.hooks)``.
    """

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}
        self.hooks = pulumi.ResourceHookBinding(
            before_create=[pulumi.ResourceHook("witness-watch", self._begin)],
            after_create=[pulumi.ResourceHook("witness-healthy", self._end)],
            on_error=[pulumi.ErrorHook("witness-tell", self._tell)],
        )

    def _begin(self, args: pulumi.ResourceHookArgs) -> None:
        inputs = args.new_inputs or {}
        watch = _Watch(inputs["name"], int(inputs["convergeConfig"]["timeout"].removesuffix("s")))
        self._watches[args.urn] = watch
        watch.start()

    def _end(self, args: pulumi.ResourceHookArgs) -> None:
        self._watches[args.urn].done.set()

    def _tell(self, args: pulumi.ErrorHookArgs) -> bool:
        if watch := self._watches.get(args.urn):  # a failed deletion was never watched
            watch.done.set()
            pulumi.log.error(_report(args.name.rpartition("-")[0], watch, args.errors))
        return False  # do not try again: the next `pulumi up` does


def _report(runtime: str, watch: _Watch, errors: Sequence[str]) -> str:
    if not watch.states and errors and "did not converge" not in errors[0]:
        # The engine refused it: nothing ever ran that could have been unhealthy.
        reason = " ".join(errors[0].split())
        return f"{runtime}: the new generation was not created, what served before still does: {reason}"
    states = "; ".join(watch.states) or "no task was ever started"
    log = "\n".join(f"  {runtime} | {line}" for line in watch.log) or "  (the log is empty)"
    return (
        f"{runtime}: the new generation did not become healthy within {watch.window} s; what served before still does. "
        f"{states}. Last lines of its log:\n{log}"
    )
