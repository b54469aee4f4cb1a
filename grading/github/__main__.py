"""The command `python -m grading.github`.

Each step of the workflows is a subcommand, which also runs outside GitHub.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from grading.entry import run_and_get_exit_code
from grading.github.plan_command import run_plan_command
from grading.github.publish_command import run_publish_command
from grading.github.report_command import run_report_command
from grading.github.sandbox_command import run_sandbox_command
from grading.manifest.model import Manifest

EXIT_CODES = "Exit codes: 0 done; 2 wrong usage; 3 the machine, GitHub or this command failed."

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, rich_markup_mode=None, epilog=EXIT_CODES
)
app.command("plan", epilog=EXIT_CODES)(run_plan_command)
app.command("publish", epilog=EXIT_CODES)(run_publish_command)
app.command("report", epilog=EXIT_CODES)(run_report_command)
app.command("sandbox", epilog=EXIT_CODES)(run_sandbox_command)


def main(find_given_files: Callable[[Path, Manifest], Mapping[str, str]] | None = None) -> None:
    """Run the command and exit. ``find_given_files`` replaces the release lock as the source of file digests."""
    sys.exit(
        run_and_get_exit_code(lambda: app(standalone_mode=False, obj=find_given_files), interrupted="Interrupted.")
    )


if __name__ == "__main__":
    main()
