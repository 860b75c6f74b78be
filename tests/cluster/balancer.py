"""What is in front of a cluster at a customer: a load balancer that knows every address a host may have."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bench.lab.door import Door
from bench.lab.workspace import wait_until

CHECK_INTERVAL = 0.5  # seconds
FALL = 2  # checks
_CONFIGURATION = """\
global
  log stdout format raw local0 err
defaults
  mode http
  option redispatch 1
  # No request goes over an idle connection, which a host that leaves may be closing at that very moment.
  option http-server-close
  retries 3
  # Only what never reached a host is sent to another one.
  retry-on conn-failure
  timeout connect 1s
  timeout client 90s
  timeout server 60s
  timeout queue 30s
  default-server check inter {interval}ms fastinter 250ms fall {fall} rise 1
frontend front
  bind 127.0.0.1:{port}
  default_backend hosts
backend hosts
  option httpchk GET /health
"""


class Balancer:
    """``with Balancer(...) as balancer``: HAProxy at ``url``, in front of ``count`` addresses from ``10.83.7.1`` on."""

    def __init__(self, folder: Path, port: int, prefix: str, public: int, count: int = 40) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._file = folder / "balancer.cfg"
        head = _CONFIGURATION.format(port=port, interval=int(CHECK_INTERVAL * 1000), fall=FALL)
        servers = (f"  server host{each} {prefix}.{each}:{public}\n" for each in range(1, count + 1))
        self._file.write_text(head + "".join(servers))

    def __enter__(self) -> Balancer:
        program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
        self._process = subprocess.Popen(
            [program or "haproxy", "-db", "-f", str(self._file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until("the balancer finds a host", self._serves, 60)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _serves(self) -> bool:
        with suppress(OSError):  # it is only starting
            return Door(self.url).get("/health").status == 200
        return False

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
