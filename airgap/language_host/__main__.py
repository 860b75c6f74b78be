"""Entry point of `pulumi-language-python`: prints a port, serves the engine until it goes away.

Usage: python __main__.py [--parent PID] [ENGINE_ADDRESS]. Runs under the Python that has the SDK installed.
"""

import sys
from pathlib import Path

# Appended: the checkout's folder `platform` must not come before the standard library's module.
sys.path.append(str(Path(__file__).resolve().parents[2]))

# The order is the point: the program's process starts to import the SDK on the second core while
# this one imports gRPC.
from airgap.language_host.program import ProgramRunner

if __name__ == "__main__":
    runner = ProgramRunner()
    runner.prepare()

    from airgap.language_host import sdk_stubs

    sdk_stubs.install()

    from airgap.language_host.server import main

    main(sys.argv[1:], runner)
