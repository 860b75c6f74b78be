"""`start.py <package>`: run one offline plugin. What else the engine passes (its address, log flags) is not needed.

Every `pulumi up` waits for this, so nothing is loaded or done that a plugin does not need.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import sys
import types

#: Seconds. It takes a fraction of one; the engine waits for the port for ever, and a test run once did.
START_LIMIT = 60

if __name__ == "__main__":
    faulthandler.dump_traceback_later(START_LIMIT, exit=True)  # `serve` calls it off
    gc.disable()  # nothing that is loaded here ever becomes garbage, so it is not searched for any
    for unused in ("asyncio", "grpc.aio"):  # loading them is half of what loading gRPC takes
        sys.modules[unused] = types.ModuleType(unused)
    sys.path.insert(0, __file__.rpartition("/")[0])
    main = importlib.import_module(f"{sys.argv[1]}.main").main
    gc.freeze()
    gc.enable()
    main()
