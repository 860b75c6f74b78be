"""A server of NFS, in user space, in a network namespace: this machine's kernel may have none."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from bench.lab.workspace import wait_until

LIMIT = 120  # seconds until it answers
LEASE = 30  # seconds for which a client that is gone keeps its locks
_CONFIGURATION = """\
NFS_CORE_PARAM {{ Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; Bind_Addr = {address}; }}
NFSv4 {{
  Minor_Versions = 1, 2; Only_Numeric_Owners = true; UseGetpwnam = true;
  Lease_Lifetime = {lease}; Graceless = true; RecoveryBackend = fs; RecoveryRoot = {folder}/recovery;
}}
EXPORT {{
  Export_Id = 1; Path = {folder}/export; Pseudo = /state; Protocols = 4; Transports = TCP; SecType = sys;
  Access_Type = RW; Squash = No_Root_Squash;
  FSAL {{ Name = VFS; }}
}}
"""


class FileServer:
    """``export`` on this machine is ``source`` for those who reach ``address``, once it is started."""

    def __init__(self, folder: Path, inside: Sequence[str], address: str) -> None:
        self._folder, self._inside, self._address = folder, inside, address
        self.export, self.source = folder / "export", f"{address}:/state"
        self.export.mkdir(parents=True)
        (folder / "recovery").mkdir()
        (folder / "ganesha.conf").write_text(_CONFIGURATION.format(address=address, folder=folder, lease=LEASE))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        own = [shutil.which("ganesha.nfsd") or "ganesha.nfsd", "-F", "-f", "ganesha.conf", "-p", "pid", "-L", "log"]
        self._process = subprocess.Popen([*self._inside, *own], cwd=self._folder)
        wait_until("the server of files", self._answers, LIMIT)

    def _answers(self) -> bool:
        assert self._process is not None
        log = self._folder / "log"
        assert self._process.poll() is None, log.read_text() if log.exists() else "it says nothing"
        probe = [*self._inside, "bash", "-c", f": </dev/tcp/{self._address}/2049"]
        return subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0

    def locked(self, name: str) -> bool:
        """Whether a file is in the export, and somebody has its lock."""
        if not (self.export / name).exists():
            return False
        with (self.export / name).open("r+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def __enter__(self) -> FileServer:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
