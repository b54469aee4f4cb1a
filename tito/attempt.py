"""Grade from the command line: show progress, then show, record and celebrate the result."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rich.text import Text

from grading import journey, progress
from grading.errors import GraderError, UsageError
from grading.files import write_atomically
from grading.grade import grade_milestone, grade_module
from grading.manifest.loader import load_manifest
from grading.render import terminal_report, words
from grading.render.badge import render_badge
from grading.render.progress_watch import create_watch
from grading.render.screen import create_screen
from grading.result import Result, Verdict
from tito.celebrate import celebrate_milestone
from tito.console import open_console, raise_interrupted_with_message
from tito.hints import save_failing_task
from tito.identity import ask_for_unknown_student_id
from tito.quiz import offer_open_questions
from tito.status import draw_progress_bar


def grade_and_show_module(
    root: Path, module: str, *, task: str | None = None, seed: int | None = None, completing: bool = False
) -> Result:
    """Run a module's tests, record a pass if ``completing``, save the first failure for hints, and show the result."""
    out = open_console()
    interrupted = (
        f"Interrupted. Nothing was recorded and your files are unchanged. To run it again: tito module test {module}"
    )
    with raise_interrupted_with_message(interrupted), create_watch(out) as watch:
        result = grade_module(root, module, task=task, seed=seed, watch=watch)
    if completing and result.verdict.exit_code == 0:
        progress.save_event(root, progress.make_module_event(progress.Kind.MODULE_COMPLETED, module, result))
    with suppress(OSError):  # show the report even if the next hint cannot be saved
        save_failing_task(root, module, result, task=task)
    only = f" --task {task}" if task else ""
    terminal_report.print_result_report(out, result, again=f"tito module test {module}{only} --seed {result.seed}")
    return result


def grade_and_celebrate_milestone(root: Path, number: int, *, seed: int | None = None, again: bool = False) -> int:
    """Ask for a missing id and open answers; grade, record, show and celebrate a milestone; return the exit code."""
    out = open_console()
    before = progress.read_history(root).find_best_attempt(number)
    ask_for_unknown_student_id(root, out)
    offer_open_questions(root, number, out)
    interrupted = (
        "Interrupted. This attempt was not recorded, but its finished measurements were cached. "
        f"To run it again: tito milestone test {number}"
    )
    with raise_interrupted_with_message(interrupted), create_watch(out) as watch:
        result = grade_milestone(root, number, seed=seed, again=again, watch=watch)
    try:
        progress.save_event(root, progress.make_attempt_event(result))
    finally:  # show the report even if the record cannot be written
        terminal_report.print_result_report(out, result, again=f"tito milestone test {number} --seed {result.seed}")
    if words.describe_reused_measurements(result):
        out.print(Text.assemble("\nTo measure again: ", (f"tito milestone test {number} --again", "bold")))
    if result.verdict.exit_code == 0:
        known = before is not None and before.verdict in ("unlocked", result.verdict)
        _announce_unlock(root, number, result, first=not known)
    elif result.verdict is Verdict.NOT_YET:
        out.print(Text.assemble("\nHelp for what failed: ", (f"tito milestone troubleshoot {number}", "bold")))
    return result.verdict.exit_code


def _announce_unlock(root: Path, number: int, result: Result, *, first: bool) -> None:
    """Write the badge's file and show the next goal; the first time, also celebrate and play the demonstration."""
    out, manifest, history = open_console(), load_manifest(root), progress.read_history(root)
    milestone, best = manifest.milestone(number), history.find_best_attempt(number)
    path = root / progress.FOLDER / "badges" / f"milestone-{number}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, render_badge((best and best.result) or result).encode())
    if first:
        celebrate_milestone(out, milestone, provisional=result.verdict is Verdict.PROVISIONAL)
        try:
            play_demo_in_terminal(root, milestone.id, seed=result.seed)
        except GraderError as error:  # the milestone stays unlocked
            out.print(Text(f"The demonstration could not be shown: {error}", style="yellow"))
    out.print(Text.assemble("\nYour badge: ", (path.relative_to(root).as_posix(), "bold")))
    out.print(draw_progress_bar(manifest, history, out))
    goal = journey.find_next_goal(manifest, history)
    out.print(Text.assemble(f"Next: {goal.sentence}\n", (f"  {goal.command}", "bold")))
    coming = next((m for m in manifest.milestones if m.id == milestone.id + 1), None)
    if coming is not None:
        planned = " (planned, not built yet)" if coming.status == "planned" else ""
        out.print(Text(f"Ahead: milestone {coming.id}, {coming.name}{planned}: {coming.victory}", style="dim"))


def play_demo_in_terminal(root: Path, number: int, *, seed: int) -> int:
    """Play the live demonstration and return 0. If student code stops it, show the failure and return 1."""
    from grading.demos.demo_runner import run_demo  # slow to import

    out = open_console()
    with create_screen(out) as screen:
        failure = run_demo(root, number, screen=screen, seed=seed)
    if failure is None:
        return 0
    out.print(Text("\nThe demonstration stopped.", style="yellow"))
    out.print(terminal_report.build_failure_view(failure, is_brief=False))
    return 1


def serve_demo_page(root: Path, number: int, *, seed: int, browser: bool) -> int:
    """Serve a demo's page until Ctrl+C; return 1 if student code failed, else 0. Raise UsageError if there is none.

    Raise UsageError if the milestone's demonstration has no page.
    """
    from grading.demos import PAGE_MILESTONES
    from grading.demos.demo_runner import serve_demo

    if number not in PAGE_MILESTONES:
        has = ", ".join(map(str, PAGE_MILESTONES))
        raise UsageError(
            f"The demonstration of milestone {number} runs only in the terminal: tito milestone demo {number}. "
            f"Milestones with a page: {has}."
        )
    return 0 if serve_demo(root, number, console=open_console(), seed=seed, browser=browser) else 1
