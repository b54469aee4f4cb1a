"""`tito milestone …`: where you are, the test, the demonstration, the questions, and help."""

from __future__ import annotations

from typing import Annotated

import typer

from grading import progress
from grading.errors import UsageError
from tito import complete, names
from tito import status as drawn
from tito.console import console, print_json, repository
from tito.options import Json, Seed
from tito.outline import outline

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Milestones: where you are, test, demonstration, questions, help."
)

Number = Annotated[
    str, typer.Argument(metavar="MILESTONE", help="Its number, such as 1.", autocompletion=complete.milestones)
]


@app.command()
def status(as_json: Json = False) -> int:
    """Show each milestone as COMPLETED, IN PROGRESS or LOCKED, and what to do next.

    \b
    Examples:
      tito milestone status
      tito milestone status --json
    """
    return drawn.show_status(as_json=as_json)


@app.command()
def timeline(
    as_json: Json = False,
    on_github: Annotated[
        bool, typer.Option("--published", help="What runs on GitHub have recorded, after: git fetch origin progress")
    ] = False,
) -> int:
    """Draw the journey so far and ahead, with dates and measured figures.

    \b
    Examples:
      tito milestone timeline
      tito milestone timeline --json
      tito milestone timeline --published
    """
    from tito.evidence import fold_figures, timeline_json  # reads results in full

    root = repository()
    course, out = outline(root), console()
    records = None
    if on_github:
        from tito import published

        records = published.published(root)
    history = progress.read(root) if records is None else records.history
    if as_json:
        more = {} if records is None else {"unverified": published.unverified_json(records)}
        print_json(timeline_json(course, history) | more)
        return 0
    best = {m.id: history.best(m.id) for m in course.milestones}
    figures = {number: fold_figures(event.result) for number, event in best.items() if event is not None}
    out.print(drawn.timeline(course, history, figures, out))
    for line in drawn.damage(history) if records is None else published.unverified(records):
        out.print(line)
    return 0


@app.command("test")
def measure(
    number: Number,
    seed: Seed = None,
    again: Annotated[bool, typer.Option("--again", help="Measure again what is kept of earlier runs.")] = False,
) -> int:
    """Measure a milestone: code quality, performance, reliability, understanding.

    Questions that are open are asked first. What was measured is kept until something it depends on changes.

    \b
    Examples:
      tito milestone test 1
      tito milestone test 1 --seed 42
    """
    root = repository()
    milestone = names.built(names.milestone(outline(root).milestones, number))
    from tito.attempt import try_milestone  # imports the grader

    return try_milestone(root, milestone.id, seed=seed, again=again)


@app.command()
def demo(
    number: Number,
    seed: Annotated[int, typer.Option(help="Where its randomness starts.", min=0, max=2**31 - 1)] = 1,
    web: Annotated[bool, typer.Option("--web", help="Serve it as a page, to this machine only.")] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="With --web: print the page's address and open nothing.")
    ] = False,
) -> int:
    """Watch what your network does, live; --web: draw a digit (2), see it train (3), drop a photograph (4), write (5).

    \b
    Examples:
      tito milestone demo 1
      tito milestone demo 1 --seed 7
      tito milestone demo 2 --web
      tito milestone demo 2 --web --no-browser
      tito milestone demo 5 --web
    """
    if no_browser and not web:
        raise UsageError(f"--no-browser goes with --web: tito milestone demo {number} --web --no-browser")
    root = repository()
    milestone = names.built(names.milestone(outline(root).milestones, number))
    from tito.attempt import play_demo, serve_page  # imports the grader

    if web:
        return serve_page(root, milestone.id, seed=seed, browser=not no_browser)
    return play_demo(root, milestone.id, seed=seed)


@app.command()
def quiz(
    number: Number,
    answer: Annotated[
        list[str] | None, typer.Option("--answer", metavar="N=VALUE", help="Answer without being asked; repeatable.")
    ] = None,
    student: Annotated[str | None, typer.Option(help="Who you are, when it is not known yet.")] = None,
) -> int:
    """Answer the capability questions; answers are kept in answers/milestone-N.yaml.

    Numbers in the questions are your own, so a neighbour's answers do not fit. Only what is not right yet is
    asked. Without a terminal the questions are printed, and --answer answers them.

    \b
    Examples:
      tito milestone quiz 1
      tito milestone quiz 1 --answer 1=328 --answer 6=b
    """
    root = repository()
    milestone = names.built(names.milestone(outline(root).milestones, number))
    from tito.quiz import quiz as ask  # imports the manifest's models

    return ask(root, milestone.id, answer or [], student)


@app.command()
def celebrate(number: Number) -> int:
    """Show a milestone's medal again, once it is unlocked.

    \b
    Example:
      tito milestone celebrate 1
    """
    root = repository()
    milestone = names.built(names.milestone(outline(root).milestones, number))
    best = progress.read(root).best(milestone.id)
    if best is None or best.verdict not in progress.PASSING:
        console().print(
            f"Milestone {milestone.id}, {milestone.name}, is not unlocked yet: tito milestone test {number}"
        )
        return 1
    from grading.manifest.load import load  # slow to import
    from tito.celebrate import celebrate as show_medal

    show_medal(console(), load(root).milestone(milestone.id), provisional=best.verdict == "provisional")
    return 0


@app.command()
def troubleshoot(number: Number, as_json: Json = False) -> int:
    """Help for what failed last, from docs/milestone-troubleshooting.md.

    \b
    Examples:
      tito milestone troubleshoot 1
      tito milestone troubleshoot 1 --json
    """
    root = repository()
    milestone = names.built(names.milestone(outline(root).milestones, number))
    from tito.troubleshoot import troubleshoot as help_with  # reads the manifest in full

    return help_with(root, milestone.id, as_json)
