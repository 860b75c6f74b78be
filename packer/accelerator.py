"""Which accelerator QEMU gets: found by starting a kernel, since /dev/kvm may be there and start none."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

SECONDS = 20  # a kernel under KVM says its first words within one


def accelerator(kernel: Path) -> str:
    """``kvm`` where this kernel starts under it, otherwise ``tcg``."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with tempfile.TemporaryDirectory(prefix="stele-kvm-") as folder:
        console = Path(folder) / "console"
        command = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "256", "-display", "none", "-no-reboot"]
        command += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1", "-serial", f"file:{console}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        try:
            while time.monotonic() < deadline:
                if console.is_file() and b"Linux version" in console.read_bytes():
                    return "kvm"
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
    return "tcg"
