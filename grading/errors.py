"""Errors that are not part of a verdict: wrong usage, an interrupt, and failures of the grader or machine."""


class UsageError(Exception):
    """The command or its arguments are wrong. The message explains how to fix them (exit code 2)."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The user pressed Ctrl-C. The message states what was kept (exit code 130)."""


class GraderError(Exception):
    """The grader or the machine failed. This is never the student's fault (exit code 3)."""
