"""The command `tito`: run one command line, and end with its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from grading.entry import run_command


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    return run_command(
        lambda: _dispatch(tuple(arguments)),
        interrupted="Interrupted; nothing is lost.",
        advice="`tito doctor` may tell what is wrong here.",
    )


def _dispatch(arguments: tuple[str, ...]) -> int | None:
    if arguments[:2] == ("milestone", "status") and arguments[2:] in ((), ("--json",)):
        # The command typed most answers at once: building the command line alone takes longer than it may.
        from tito.status import show_status

        return show_status(as_json=bool(arguments[2:]))
    from tito.commands import app

    if arguments in ((), ("module",), ("milestone",)):
        arguments += ("--help",)  # what these mean: no mistake, so no exit code of one
    return app(args=list(arguments), prog_name="tito", standalone_mode=False)


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))
