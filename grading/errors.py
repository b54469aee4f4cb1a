"""Errors that are not part of a verdict: wrong usage, an interrupt, and failures of the grader or machine."""


class UsageError(Exception):
    """The command or its arguments are wrong; the message says how to fix it (exit 2)."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The user pressed Ctrl-C; the message says what was kept (exit 130)."""


class GraderError(Exception):
    """The grader or the machine failed; never the student's failure (exit 3)."""
