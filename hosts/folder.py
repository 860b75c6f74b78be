"""``python -m hosts.folder IMAGE PARENT NAME``: make a folder for a runtime's data, by the engine at DOCKER_HOST."""

from __future__ import annotations

import sys

import docker
from docker.errors import DockerException

from hosts.engine_client import from_env

OWNER = "10001:10001"
# On a host where nothing is mounted: no such folder, or one of the read-only root.
_NOT_MOUNTED = ("bind source path does not exist", "Read-only file system")
_MEND = "mount it on every host of the cluster (docs/hosts.md: Data), or: pulumi config set state <another folder>"
_MAKE = 'mkdir -p -m 0700 "/parent/$1" && chown "$2" "/parent/$1"'


def main(arguments: list[str]) -> int:
    """The process's exit status; what is wrong is one line on standard error."""
    image, parent, name = arguments
    mount = docker.types.Mount("/parent", parent, type="bind")
    try:
        client = from_env(timeout=600)
        client.containers.run(
            image, ["-c", _MAKE, "sh", name, OWNER], entrypoint="sh", user="0", mounts=[mount], remove=True,
            network_mode="none",
        )  # fmt: skip
    except (DockerException, OSError) as error:
        said = " ".join(str(error).split())
        if any(words in said for words in _NOT_MOUNTED):
            said = f"it is not there, or is read-only; {_MEND}"
        print(f"stele:state: {parent}: {said}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
