"""`start.py <package>`: run one offline plugin. What else the engine passes (its address, log flags) is not needed."""

from __future__ import annotations

import gc
import importlib
import sys

if __name__ == "__main__":
    # Every `pulumi up` waits for this: nothing that is loaded here ever becomes garbage, so it is not searched for any.
    gc.disable()
    sys.path.insert(0, __file__.rpartition("/")[0])
    main = importlib.import_module(f"{sys.argv[1]}.main").main
    gc.freeze()
    gc.enable()
    main()
