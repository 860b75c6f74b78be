"""The offline `docker` plugin: pulumi-docker 5.2.0 for networks, volumes, secrets, configs and Swarm services."""
