"""The second engine of a drill: another host, as far as the stack can tell."""

from __future__ import annotations

from docker.errors import DockerException

from hosts.namespaced_engine import EngineError, NamespacedEngine


class SecondEngine(NamespacedEngine):
    """An engine alone in its name space, with a Swarm of its own."""

    what = "the second engine"

    def run(self) -> None:
        """With its Swarm."""
        super().run()
        try:
            self.client().swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
        except (DockerException, OSError) as error:  # those of requests are OSErrors
            raise EngineError(f"the second engine starts no Swarm: {' '.join(str(error).split())}") from error


__all__ = ["EngineError", "SecondEngine"]
