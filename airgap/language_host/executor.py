"""Runs one Pulumi program: reads what to run from a pipe, imports the SDK while it waits.

Usage: python executor.py FD. FD delivers one JSON object (see `ProgramSpec` in program.py) and then end-of-file;
end-of-file without an object means that there is nothing to run. Exit codes: 0 done, 32 failed and already told the
user why, 130 interrupted, anything else is the program's own `sys.exit`.
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
from typing import Any

EXIT_REPORTED = 32
EXIT_INTERRUPTED = 130
_GRACE_SECONDS = 5.0
_MISSING_SDK = """
The Pulumi SDK is not installed for {python}: install the project's requirements into it."""


def _end_with_host() -> None:
    """The host is gone, so no engine listens: let the program clean up briefly, then end it."""
    threading.Timer(_GRACE_SECONDS, os._exit, (1,)).start()
    os.kill(os.getpid(), signal.SIGTERM)


def _user_traceback(error: BaseException, program: Path) -> str:
    """The trace from the first frame of the user's program on; the whole of it when there is none."""
    root = program if program.is_dir() else program.parent
    frame = error.__traceback__
    while frame is not None:
        filename = Path(frame.tb_frame.f_code.co_filename)
        if filename.is_absolute() and filename.is_relative_to(root):
            break
        frame = frame.tb_next
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
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _run_file(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return EXIT_REPORTED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever the user's program raises
        trace = _user_traceback(error, program)
        pulumi.log.error(f"Program failed with an unhandled exception:\n{trace}")
        return EXIT_REPORTED
    finally:
        workers.shutdown(wait=True)
        loop.close()
    return 0


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
    # Until there is a program to interrupt, an interrupt just ends this process, without a trace on the user's screen.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
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
    os.chdir(spec["directory"])
    sys.argv = [spec["entry_point"], *spec["arguments"]]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _configure(spec)
    return _run(Path(spec["entry_point"]).absolute(), spec["settings"]["parallel"])


if __name__ == "__main__":
    _root = str(Path(__file__).resolve().parents[2])
    sys.path.append(_root)
    from airgap.language_host.watch import on_parent_exit

    sys.path.remove(_root)
    on_parent_exit(_end_with_host)
    sys.exit(main(int(sys.argv[1])))
