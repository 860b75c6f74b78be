"""Stele's Pulumi program: settings in; one release, environment, cluster or customer's storage out."""

from components import startup

startup.begin()

import pulumi  # noqa: E402

if pulumi.Config().get("kind") in {None, "environment"}:
    startup.wake_docker_plugin()
    startup.wake_state()

from components.boundary import read_settings  # noqa: E402
from components.cluster_settings import ClusterSettings  # noqa: E402
from components.settings import EnvironmentSettings, ReleaseSettings  # noqa: E402

settings = read_settings()

# Each is imported where it is used: an environment builds nothing, so it need not load what builds.
if isinstance(settings, EnvironmentSettings):
    from components.environment import Environment

    outputs = Environment(pulumi.get_stack(), settings).outputs
elif isinstance(settings, ReleaseSettings):
    from components.factory import Factory

    outputs = Factory(settings.product, settings).outputs
elif isinstance(settings, ClusterSettings):
    from components.cluster import Cluster

    outputs = Cluster(pulumi.get_stack(), settings).outputs
else:
    from components.worm_storage import WormStorage

    outputs = WormStorage(settings.customer, settings).outputs

for name, value in outputs.items():
    pulumi.export(name, value)
