"""Exit codes of a program's process, as the official executor uses them."""

# Failed, and the user has read why: the host adds nothing.
REPORTED = 32
INTERRUPTED = 130
