"""What stops a task."""

import errno


class Problem(Exception):
    """A task cannot go on; the text is one line that names the thing, the value and the mend."""


def of_the_disk(error: OSError) -> Problem:
    """What the operating system refused, as a Problem."""
    mend = "; make room" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
    return Problem(f"{error.filename or 'the disk'}: {error.strerror}{mend}")


def problem_of(error: Exception) -> Problem:
    """Whatever stopped a task, in one line."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, OSError):
        return of_the_disk(error)
    return Problem(f"{type(error).__name__}: {' '.join(str(error).split())}")
