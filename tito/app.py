"""The command `tito`: run one command line, and end with its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from grading.entry import run_command
from tito.console import find_repository


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    return run_command(
        lambda: _dispatch(tuple(arguments)),
        interrupted="Interrupted. Your files and everything recorded so far are as they were.",
        advice="`tito doctor` may tell what is wrong here.",
    )


def _dispatch(arguments: tuple[str, ...]) -> int | None:
    completing = "_TITO_COMPLETE" in os.environ  # a shell asks what may follow
    # The commands typed most answer at once: building the command line alone takes longer than they may.
    if not completing and arguments[:2] == ("milestone", "status") and arguments[2:] in ((), ("--json",)):
        from tito.status import show_status

        return show_status(as_json=bool(arguments[2:]))
    if not completing and arguments == () and find_repository() is not None:
        from tito.status import show_place

        return show_place()
    from tito.commands import app

    if not completing and arguments in ((), ("module",), ("milestone",)):
        arguments += ("--help",)  # what these mean: no mistake, so no exit code of one
    return app(args=list(arguments), prog_name="tito", standalone_mode=False)


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))
