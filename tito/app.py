"""Entry point of `tito`: run one command line and exit with its code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from grading.entry import run_and_get_exit_code
from tito.console import find_repository


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command line, print any error, and return the exit code."""
    return run_and_get_exit_code(
        lambda: _dispatch_command(tuple(arguments)),
        interrupted="Interrupted. Your files and everything recorded so far are unchanged.",
        advice="`tito doctor` may show what is wrong.",
    )


def _dispatch_command(arguments: tuple[str, ...]) -> int | None:
    """Run the most frequent commands directly and pass everything else to typer."""
    completing = "_TITO_COMPLETE" in os.environ  # a shell is asking for completions
    # Building the typer application takes longer than these commands are allowed to take in total.
    if not completing and arguments[:2] == ("milestone", "status") and arguments[2:] in ((), ("--json",)):
        from tito.status import show_milestone_states

        return show_milestone_states(as_json=bool(arguments[2:]))
    if not completing and arguments == () and find_repository() is not None:
        from tito.status import show_current_module

        return show_current_module()
    from tito.commands import app

    if not completing and arguments in ((), ("module",), ("milestone",)):
        arguments += ("--help",)  # a command group on its own shows its help, with exit code 0
    return app(args=list(arguments), prog_name="tito", standalone_mode=False)


def main() -> None:
    """Run the command given by this process's arguments, and exit with its code."""
    sys.exit(run_command_line(sys.argv[1:]))
