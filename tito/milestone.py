"""`tito milestone …`: show the status, test, play the demonstration, answer the questions, get help."""

from __future__ import annotations

from typing import Annotated

import typer

from grading import progress
from grading.errors import UsageError
from tito import complete, names, status
from tito.console import open_console, print_json, require_repository
from tito.options import JsonOption, SeedOption
from tito.outline import read_outline

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Milestones: status, test, demonstration, questions and help."
)

MilestoneNumber = Annotated[
    str,
    typer.Argument(
        metavar="MILESTONE",
        help="The milestone's number, such as 1.",
        autocompletion=complete.list_milestone_completions,
    ),
]


@app.command("status")
def show_milestones(as_json: JsonOption = False) -> int:
    """Show each milestone as COMPLETED, IN PROGRESS or LOCKED, and what to do next.

    \b
    Examples:
      tito milestone status
      tito milestone status --json
    """
    return status.show_milestone_states(as_json=as_json)


@app.command("timeline")
def show_timeline(
    as_json: JsonOption = False,
    published_only: Annotated[
        bool,
        typer.Option("--published", help="Show what the runs on GitHub recorded. Run git fetch origin progress first."),
    ] = False,
) -> int:
    """Draw your journey so far and what lies ahead, with dates and measured figures.

    \b
    Examples:
      tito milestone timeline
      tito milestone timeline --json
      tito milestone timeline --published
    """
    from tito.evidence import collect_timeline_for_json, format_performance_figures_compactly  # reads results in full

    root = require_repository()
    course, out = read_outline(root), open_console()
    records = None
    if published_only:
        from tito import published

        records = published.read_published_records(root)
    history = progress.read_history(root) if records is None else records.history
    if as_json:
        more = {} if records is None else {"unverified": published.collect_unverified_records(records)}
        print_json(collect_timeline_for_json(course, history) | more)
        return 0
    best = {m.id: history.find_best_attempt(m.id) for m in course.milestones}
    figures = {
        number: format_performance_figures_compactly(event.result)
        for number, event in best.items()
        if event is not None
    }
    out.print(status.draw_timeline(course, history, figures, out))
    for line in (
        status.describe_damaged_records(history) if records is None else published.describe_unverified_records(records)
    ):
        out.print(line)
    return 0


@app.command("test")
def run_milestone_test(
    number: MilestoneNumber,
    seed: SeedOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ignore cached measurements and measure everything again.")
    ] = False,
) -> int:
    """Measure a milestone (code quality, performance, reliability, understanding) and record the attempt.

    You are asked the open questions first. A measurement is kept until something that it depends on changes.

    \b
    Examples:
      tito milestone test 1
      tito milestone test 1 --seed 1234
    """
    root = require_repository()
    milestone = names.require_built(names.match_milestone(read_outline(root).milestones, number))
    from tito.attempt import grade_and_celebrate_milestone  # imports the grader

    return grade_and_celebrate_milestone(root, milestone.id, seed=seed, again=again)


@app.command("demo")
def show_demo(
    number: MilestoneNumber,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0, max=2**31 - 1)] = 1,
    web: Annotated[
        bool, typer.Option("--web", help="Open the demonstration as a web page, served only on this machine.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="With --web: print the page's address instead of opening a browser.")
    ] = False,
) -> int:
    """Play a milestone's demonstration, in which you watch your network at work.

    With --web, you draw a digit (2), see it train (3), drop in a photograph (4) or write with it (5).

    \b
    Examples:
      tito milestone demo 1
      tito milestone demo 1 --seed 7
      tito milestone demo 2 --web
      tito milestone demo 2 --web --no-browser
      tito milestone demo 5 --web
    """
    if no_browser and not web:
        raise UsageError(f"--no-browser needs --web: tito milestone demo {number} --web --no-browser")
    root = require_repository()
    milestone = names.require_built(names.match_milestone(read_outline(root).milestones, number))
    from tito.attempt import play_demo_in_terminal, serve_demo_page  # imports the grader

    if web:
        return serve_demo_page(root, milestone.id, seed=seed, browser=not no_browser)
    return play_demo_in_terminal(root, milestone.id, seed=seed)


@app.command("quiz")
def answer_questions(
    number: MilestoneNumber,
    answer: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="N=VALUE", help="Give one answer; may be used several times."),
    ] = None,
    student: Annotated[str | None, typer.Option(help="Your GitHub user name, if you have not given it yet.")] = None,
) -> int:
    """Answer the capability questions. Your answers are saved in answers/milestone-N.yaml.

    The numbers in your questions are your own, so somebody else's answers are wrong for you. Questions that you have
    already answered correctly are skipped. Without a terminal, the questions are printed; use --answer to answer them.

    \b
    Examples:
      tito milestone quiz 1
      tito milestone quiz 1 --answer 1=328 --answer 6=b
    """
    root = require_repository()
    milestone = names.require_built(names.match_milestone(read_outline(root).milestones, number))
    from tito.quiz import run_quiz  # imports the manifest's models

    return run_quiz(root, milestone.id, answer or [], student)


@app.command("celebrate")
def show_medal(number: MilestoneNumber) -> int:
    """Show the medal of an unlocked milestone again.

    \b
    Example:
      tito milestone celebrate 1
    """
    root = require_repository()
    milestone = names.require_built(names.match_milestone(read_outline(root).milestones, number))
    best = progress.read_history(root).find_best_attempt(milestone.id)
    if best is None or best.verdict not in progress.PASSING:
        open_console().print(
            f"Milestone {milestone.id}, {milestone.name}, is not unlocked yet. To test it: tito milestone test {number}"
        )
        return 1
    from grading.manifest.loader import load_manifest  # slow to import
    from tito.celebrate import celebrate_milestone

    celebrate_milestone(
        open_console(), load_manifest(root).milestone(milestone.id), provisional=best.verdict == "provisional"
    )
    return 0


@app.command("troubleshoot")
def show_failure_help(number: MilestoneNumber, as_json: JsonOption = False) -> int:
    """Show help for your last failures, from docs/milestone-troubleshooting.md.

    \b
    Examples:
      tito milestone troubleshoot 1
      tito milestone troubleshoot 1 --json
    """
    root = require_repository()
    milestone = names.require_built(names.match_milestone(read_outline(root).milestones, number))
    from tito.troubleshoot import show_troubleshooting  # reads the manifest in full

    return show_troubleshooting(root, milestone.id, as_json)
