"""The commands of `tito`, put together."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from tito import compare, data, doctor, hints, milestone, module, portfolio, update, watch

HELP = """Learn by building: modules, milestones, and how far you are.

\b
Start here:
  tito                    where you are and what is next
  tito module view        read the current module's lesson
  tito module start       begin it
  tito watch              have every save tested, task by task
  tito module test        have it tested
  tito hint               the next hint for the task you are at
  tito module complete    have it tested and recorded, and go on

Exit codes: 0 unlocked, provisional or passed; 1 not yet; 2 wrong usage; 3 grader or machine error."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tito {_find_version()}")
        raise typer.Exit


def _find_version() -> str:
    """The installed package's version; where tito runs from its folder, as in a nox session, that of pyproject.toml."""
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
        typer.Option("--version", help="Show the course's version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """What comes before any command."""


app.add_typer(module.app, name="module")
app.add_typer(milestone.app, name="milestone")
app.add_typer(data.app, name="data")
app.command("compare")(compare.compare)
app.command("doctor")(doctor.doctor)
app.command("watch")(watch.watch)
app.command("hint")(hints.hint)
app.command("portfolio")(portfolio.portfolio)
app.command("update")(update.update)
