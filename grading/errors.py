"""What can go wrong outside a verdict: wrong usage, and the grader's or machine's own trouble."""


class UsageError(Exception):
    """The command or its arguments are wrong; the message says how to fix it (exit 2)."""


class GraderError(Exception):
    """The grader or the machine failed; never the student's failure (exit 3)."""
