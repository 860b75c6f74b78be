"""Why a generation did not get healthy: a witness watches its creation and tells, when it fails, what it saw.

The provider deletes a service that did not converge, and with it every task and log. So a before-create hook starts a
thread that looks at the engine twice a second; an error hook prints what it saw last.
"""

from __future__ import annotations

import threading
from typing import Any

import pulumi

LOG_LINES = 15
_POLL = 0.5  # seconds


class _Watch(threading.Thread):
    """Remembers the last state of a service's tasks and the last lines of their logs."""

    def __init__(self, service: str, limit: float) -> None:
        super().__init__(daemon=True, name=f"witness-{service}")
        self._service = service
        self._rounds = int(limit / _POLL)
        self.done = threading.Event()
        self.states: list[str] = []
        self.log: list[str] = []

    def run(self) -> None:
        import docker  # 0.15 s: paid only when something is created

        try:
            client = docker.DockerClient.from_env(timeout=5)
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
        lines = b"".join(service.logs(stdout=True, stderr=True, tail=LOG_LINES)).decode(errors="replace").splitlines()
        if lines:
            self.log = lines[-LOG_LINES:]


def _state(client: Any, task: dict[str, Any]) -> str:
    status = task["Status"]
    told = f"task {task['ID'][:12]}: {status['State']}"
    if status.get("Err"):
        told += f" ({status['Err']})"
    container = status.get("ContainerStatus", {}).get("ContainerID")
    if container and status["State"] in ("starting", "running"):
        probes = (client.api.inspect_container(container)["State"].get("Health") or {}).get("Log") or []
        if probes:
            told += f", last health check exit {probes[-1]['ExitCode']}: {probes[-1]['Output'].strip()[-200:]}"
    return told


def witness(service: str, runtime: str, window: int) -> pulumi.ResourceHookBinding:
    """Hooks for one service: watch its creation for at most ``window`` seconds and a little, tell when it fails."""
    watches: list[_Watch] = []

    def begin(_: pulumi.ResourceHookArgs) -> None:
        watch = _Watch(service, window + 30)
        watches.append(watch)
        watch.start()

    def end(_: pulumi.ResourceHookArgs) -> None:
        for watch in watches:
            watch.done.set()

    def tell(_: pulumi.ErrorHookArgs) -> bool:
        for watch in watches:
            watch.done.set()
            pulumi.log.error(_report(runtime, window, watch))
        return False  # do not try again: the next `pulumi up` does

    return pulumi.ResourceHookBinding(
        before_create=[pulumi.ResourceHook(f"{service}-watch", begin)],
        after_create=[pulumi.ResourceHook(f"{service}-healthy", end)],
        on_error=[pulumi.ErrorHook(f"{service}-tell", tell)],
    )


def _report(runtime: str, window: int, watch: _Watch) -> str:
    states = "; ".join(watch.states) or "no task was ever started"
    log = "\n".join(f"  {runtime} | {line}" for line in watch.log) or "  (the log is empty)"
    return (
        f"{runtime}: the new generation did not become healthy within {window} s; the previous one still serves. "
        f"{states}. Last lines of its log:\n{log}"
    )
