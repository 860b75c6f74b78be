"""Runs one Pulumi program: reads what to run from a pipe, imports the SDK while it waits.

Usage: python executor.py FD HOST. FD delivers one JSON object (see `ProgramSpec` in program.py) and then end-of-file;
end-of-file without an object means that there is nothing to run. HOST is the process id of the language host. The exit
code is one of codes.py, or the program's own `sys.exit`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import runpy
import signal
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

_GRACE_SECONDS = 1.0
_MISSING_SDK = """
The Pulumi SDK is not installed for {python}: install the project's requirements into it."""


def _end_with_host() -> None:
    """The host is gone, so no engine listens: let the program clean up briefly, then end it."""
    _end_soon(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    """Unwinds the program, so that its `finally` blocks run; the SDK would go on to wait for a cancelled engine."""
    _end_soon(codes.INTERRUPTED)
    signal.default_int_handler(number, frame)


def _end_soon(code: int) -> None:
    timer = threading.Timer(_GRACE_SECONDS, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _user_traceback(error: BaseException, program: Path) -> str:
    """The trace from the first frame of the user's program on; the whole of it when there is none.

    A file that does not parse has no frame of its own, and its message says where it is.
    """
    root = program if program.is_dir() else program.parent
    frame = error.__traceback__
    while frame is not None:
        filename = Path(frame.tb_frame.f_code.co_filename)
        if filename.is_absolute() and filename.is_relative_to(root):
            break
        frame = frame.tb_next
    if frame is None and isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error))
    return "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))


def _configure(spec: dict[str, Any]) -> None:
    import pulumi

    pulumi.runtime.set_all_config(spec["config"], spec["secret_keys"])
    pulumi.runtime.configure(pulumi.runtime.Settings(**spec["settings"]))


def _run(program: Path, parallel: int) -> int:
    import pulumi

    # Tasks of resources that depend on a failed one are never awaited: asyncio's complaints about them help nobody.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # Every registration blocks a thread while its request is on the way.
    workers = ThreadPoolExecutor(max_workers=max(parallel, 1) * 4)
    loop.set_default_executor(workers)
    code = 0
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _run_file(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        code = codes.REPORTED
    except Exception as error:  # noqa: BLE001 - whatever the user's program raises
        trace = _user_traceback(error, program)
        pulumi.log.error(f"Program failed with an unhandled exception:\n{trace}")
        code = codes.REPORTED
    # Not in a `finally`: after an interrupt the threads wait for an engine that answers no more.
    workers.shutdown(wait=True)
    loop.close()
    return code


def _run_file(program: Path) -> None:
    import pulumi

    if program.is_dir() and not (program / "__main__.py").is_file():
        raise pulumi.RunError(f"no Python program found: {program} has no __main__.py")
    runpy.run_path(str(program), run_name="__main__")


def _import_sdk() -> None:
    try:
        import pulumi.runtime  # noqa: F401 - the point is the time it takes
    except ImportError:
        traceback.print_exc()
        print(_MISSING_SDK.format(python=sys.executable), file=sys.stderr)
        sys.exit(1)


def main(descriptor: int) -> int:
    """Waits for the specification, runs it, returns the exit code."""
    _import_sdk()
    with os.fdopen(descriptor, "rb") as pipe:
        message = pipe.read()
    if not message:
        return 0
    spec = json.loads(message)
    os.environ.clear()
    os.environ.update(spec["environment"])
    # Python buffers whole blocks when it writes to a pipe; users watch the output of a running program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, _on_interrupt)
    os.chdir(spec["directory"])
    sys.argv = [spec["entry_point"], *spec["arguments"]]
    _configure(spec)
    return _run(Path(spec["entry_point"]).absolute(), spec["settings"]["parallel"])


if __name__ == "__main__":
    # Only for these two: the user's program must find its own modules, not ours.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from airgap.language_host import codes, watch

    sys.path.pop()
    watch.on_exit(int(sys.argv[2]), _end_with_host)
    try:
        _code = main(int(sys.argv[1]))
    except KeyboardInterrupt:
        _code = codes.INTERRUPTED
    sys.exit(_code)
