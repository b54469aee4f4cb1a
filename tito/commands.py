"""The typer application of `tito`, assembled from all its commands."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from tito import compare, data, doctor, hints, milestone, module, portfolio, update, watch

HELP = """Learn by building. Work through the modules, unlock the milestones, and see how far you have come.

\b
Start here:
  tito                    where you are and what is next
  tito module view        read the current module's lesson
  tito module start       begin the module
  tito watch              test every save, task by task
  tito module test        run the module's tests
  tito hint               show the next hint for your current task
  tito module complete    test the module, record it and go on

Exit codes: 0 unlocked, provisional or passed; 1 not yet; 2 wrong usage; 3 grader or machine error."""


def _print_version_and_exit(wanted: bool) -> None:
    """Print the version and exit if `--version` is given."""
    if wanted:
        typer.echo(f"tito {_find_course_version()}")
        raise typer.Exit


def _find_course_version() -> str:
    """Find the course's version in the installed package or, if the package is not installed, in pyproject.toml.

    It is not installed in nox sessions, which run tito from its folder.
    """
    try:
        return metadata.version("tinytorch-course")
    except metadata.PackageNotFoundError:
        text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])


app = typer.Typer(
    name="tito",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the course's version and exit.", is_eager=True, callback=_print_version_and_exit
        ),
    ] = False,
) -> None:
    """Accept the options that come before any command."""


app.add_typer(module.app, name="module")
app.add_typer(milestone.app, name="milestone")
app.add_typer(data.app, name="data")
app.command("compare")(compare.compare_with_pytorch)
app.command("doctor")(doctor.run_doctor)
app.command("watch")(watch.watch_module)
app.command("hint")(hints.show_hint)
app.command("portfolio")(portfolio.show_portfolio)
app.command("update")(update.update_course)
