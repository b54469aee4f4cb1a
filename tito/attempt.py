"""Grading from the command line: run it with a moving display, show it, record it, celebrate it."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from grading import journey, progress
from grading.errors import GraderError, UsageError
from grading.files import write_atomically
from grading.grade import grade_milestone, grade_module
from grading.manifest.load import load
from grading.render import terminal, words
from grading.render.badge import badge
from grading.render.progress import watch_for
from grading.render.screen import screen_for
from grading.result import Result, Verdict
from tito.celebrate import celebrate
from tito.console import console, say_if_interrupted
from tito.identity import introduce
from tito.quiz import ask_open_questions
from tito.status import progress_line


def grade_and_show_module(
    root: Path, module: str, *, task: str | None = None, seed: int | None = None, completing: bool = False
) -> Result:
    """The module's tests in the worker, shown; when they pass, recorded before as completed if it is to be."""
    out = console()
    interrupted = f"Interrupted: nothing was recorded, your files are as they were. Again: tito module test {module}"
    with say_if_interrupted(interrupted), watch_for(out) as watch:
        result = grade_module(root, module, task=task, seed=seed, watch=watch)
    if completing and result.verdict.exit_code == 0:
        progress.record(root, progress.module_event(progress.Kind.MODULE_COMPLETED, module, result))
    only = f" --task {task}" if task else ""
    terminal.show(out, result, again=f"tito module test {module}{only} --seed {result.seed}")
    return result


def try_milestone(root: Path, number: int, *, seed: int | None = None, again: bool = False) -> int:
    """Grade a milestone, show and record the attempt; when it unlocks, all that goes with it. The exit code."""
    out = console()
    before = progress.read(root).best(number)
    introduce(root, out)
    ask_open_questions(root, number, out)
    interrupted = (
        "Interrupted: this attempt is not recorded, and what it had measured is kept. "
        f"Again: tito milestone test {number}"
    )
    with say_if_interrupted(interrupted), watch_for(out) as watch:
        result = grade_milestone(root, number, seed=seed, again=again, watch=watch)
    try:
        progress.record(root, progress.attempt(result))
    finally:  # a disk that takes no record is no reason to keep the report back
        terminal.show(out, result, again=f"tito milestone test {number} --seed {result.seed}")
    if words.describe_kept(result):
        out.print(Text.assemble("\nTo measure again: ", (f"tito milestone test {number} --again", "bold")))
    if result.verdict.exit_code == 0:
        known = before is not None and before.verdict in ("unlocked", result.verdict)
        _unlocked(root, number, result, first=not known)
    elif result.verdict is Verdict.NOT_YET:
        out.print(Text.assemble("\nHelp for what failed: ", (f"tito milestone troubleshoot {number}", "bold")))
    return result.verdict.exit_code


def _unlocked(root: Path, number: int, result: Result, *, first: bool) -> None:
    """Celebrate the first time; grant the badge and show the way on every time."""
    out, manifest, history = console(), load(root), progress.read(root)
    milestone, best = manifest.milestone(number), history.best(number)
    path = root / progress.FOLDER / "badges" / f"milestone-{number}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, badge((best and best.result) or result).encode())
    if first:
        celebrate(out, milestone, provisional=result.verdict is Verdict.PROVISIONAL)
        try:
            play_demo(root, milestone.id, seed=result.seed)
        except GraderError as error:  # the milestone is unlocked all the same
            out.print(Text(f"The demonstration could not be shown: {error}", style="yellow"))
    out.print(Text.assemble("\nYour badge: ", (path.relative_to(root).as_posix(), "bold")))
    out.print(progress_line(manifest, history, out))
    goal = journey.next_goal(manifest, history)
    out.print(Text.assemble(f"Next: {goal.sentence}\n", (f"  {goal.command}", "bold")))
    coming = next((m for m in manifest.milestones if m.id == milestone.id + 1), None)
    if coming is not None:
        planned = " (planned, not built yet)" if coming.status == "planned" else ""
        out.print(Text(f"Ahead: milestone {coming.id}, {coming.name}{planned}: {coming.victory}", style="dim"))


def play_demo(root: Path, number: int, *, seed: int) -> int:
    """The live demonstration; 1 and what stopped it when student code does not reach its end, else 0."""
    from grading.demos.demo_runner import run_demo  # slow to import

    out = console()
    with screen_for(out) as screen:
        failure = run_demo(root, number, screen=screen, seed=seed)
    if failure is None:
        return 0
    out.print(Text("\nThe demonstration stopped.", style="yellow"))
    out.print(terminal.failure_parts(failure, brief=False))
    return 1


def serve_page(root: Path, number: int, *, seed: int, browser: bool) -> int:
    """The demonstration as a page, until Ctrl+C; 1 if student code failed meanwhile, else 0. UsageError without one."""
    from grading.demos import PAGE_MILESTONES
    from grading.demos.demo_runner import serve_demo

    if number not in PAGE_MILESTONES:
        has = ", ".join(map(str, PAGE_MILESTONES))
        raise UsageError(
            f"The demonstration of milestone {number} has no page; it plays in the terminal: "
            f"tito milestone demo {number}. These have one: milestones {has}."
        )
    return 0 if serve_demo(root, number, console=console(), seed=seed, browser=browser) else 1
