"""What stops a task."""


class Problem(Exception):
    """A task cannot go on; the text is one line that names the thing, the value and the mend."""
