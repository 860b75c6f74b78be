"""The one error type of the local platform: a line a person can act on."""

from __future__ import annotations


class Problem(Exception):
    """One thing that is wrong, in one line: what, its value, and the mend."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}: {mend}")
        self.what = what
        self.mend = mend


class Problems(Exception):
    """Several independent Problems, each printed on a line of its own."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
