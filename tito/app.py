"""The command `tito`, put together, and how it ends: exit codes and plain words instead of tracebacks."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from grading.errors import GraderError, UsageError
from tito import doctor, milestone, module, portfolio
from tito.console import errors

HELP = """Learn by building: modules, milestones, and how far you are.

\b
Start here:
  tito milestone status        where you are and what is next
  tito module view 01          read a lesson
  tito module start 01         begin it
  tito module complete 01      have it tested, and go on

Exit codes: 0 unlocked, provisional or passed; 1 not yet; 2 wrong usage; 3 grader or machine error."""

app = typer.Typer(
    name="tito",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(module.app, name="module")
app.add_typer(milestone.app, name="milestone")
app.command("doctor")(doctor.doctor)
app.command("portfolio")(portfolio.portfolio)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    try:
        code = app(args=list(arguments), prog_name="tito", standalone_mode=False)
    except UsageError as error:
        return _say(str(error), 2)
    except GraderError as error:
        return _say(f"The grader could not do its work; this says nothing about your code.\n{error}", 3)
    except (KeyboardInterrupt, typer.Abort):
        return _say("Interrupted; nothing is lost.", 130)
    except Exception as error:
        # Named by their traits: importing the class would import what most commands never need.
        if type(error).__name__ == "ManifestError":
            return _say(str(error), 2)
        if isinstance(error, OSError):
            return _say(f"{type(error).__name__}: {error}\n`tito doctor` may tell what is wrong here.", 3)
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the parser's own
            error.show()
            return error.exit_code
        raise
    return code if isinstance(code, int) else 0


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a sign shows a question mark, not a traceback.
        stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def _say(message: str, code: int) -> int:
    errors().print(message, soft_wrap=True)
    return code
