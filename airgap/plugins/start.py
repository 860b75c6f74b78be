"""`start.py <package>`: run one offline plugin. What else the engine passes (its address, log flags) is not needed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    importlib.import_module(f"{sys.argv[1]}.main").main()
