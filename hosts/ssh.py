"""The user's own ``ssh``, with the user's own configuration: keys, known hosts, jumps."""

from __future__ import annotations

SSH = "ssh://"
REFUSED = 255  # ssh's own exit status
# A dead host is given up after 20 s, before the connection and within it; one that is only slow is waited for.
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=5", "ServerAliveCountMax=4", "LogLevel=ERROR")


def ssh(engine: str, *command: str) -> list[str]:
    """What runs a command where an engine is (``ssh://...``): it asks for nothing, and fails with a line at most."""
    return ["ssh", *(word for option in _OPTIONS for word in ("-o", option)), "--", engine, *command]


def is_there(said: str) -> bool:
    """Whether a machine has answered that lets nobody in: it is not lost."""
    return any(words in said for words in ("Permission denied", "Host key verification failed", "Too many auth"))


def refusal(engine: str, said: str) -> str:
    """Why ``ssh`` did not get there, from its standard error."""
    return f"{engine.removeprefix(SSH)} refuses SSH: {(said.strip().splitlines() or ['no answer'])[-1]}"
