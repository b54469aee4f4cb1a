"""Errors that are not part of a verdict: wrong usage, interrupts, and failures of the grader or the machine."""


class UsageError(Exception):
    """The error raised if the command or its arguments are wrong.

    The message explains how to fix them (exit code 2).
    """


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The exception raised if the user presses Ctrl-C. The message says what was kept (exit code 130)."""


class GraderError(Exception):
    """The error raised if the grader or the machine fails. This is never the student's fault (exit code 3)."""
