"""The commands of `tito`, put together."""

from __future__ import annotations

import typer

from tito import data, doctor, milestone, module, portfolio

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
app.add_typer(data.app, name="data")
app.command("doctor")(doctor.doctor)
app.command("portfolio")(portfolio.portfolio)
