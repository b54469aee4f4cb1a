"""The command `python -m grading`, which the nox sessions run. It grades, renders the report and sets the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from grading import progress
from grading.entry import run_and_get_exit_code
from grading.export.write import ExportFormat, write_results
from grading.files import require_folder, write_atomically
from grading.grade import grade_milestone, grade_module
from grading.render import record, terminal_report, words
from grading.render.command_console import CommandConsole
from grading.render.junit import render_junit
from grading.render.markdown import render_markdown
from grading.render.progress_watch import ProgressWatch, create_watch
from grading.result import Result, Verdict

ROOT = Path(__file__).resolve().parent.parent
EXIT_CODES = "Exit codes: 0 unlocked, provisional or passed; 1 not yet; 2 wrong usage; 3 grader or machine error."

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, rich_markup_mode=None, epilog=EXIT_CODES
)

Folder = Annotated[
    Path | None, typer.Option("--submission", metavar="DIR", help="Grade the tree in DIR instead of this one.")
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result record to FILE.")]
Markdown = Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write the report as Markdown.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML.")]
Commit = Annotated[str | None, typer.Option("--commit", metavar="SHA", help="The commit of this tree, for the record.")]
ExitZero = Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 even if the verdict is “not yet”.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=2**31 - 1, help="The seed shown in a report, to reproduce its inputs."),
]


@app.command("milestone", epilog=EXIT_CODES)
def run_milestone_grading(
    number: Annotated[int, typer.Argument(help="The milestone's number, 1 to 5.")],
    submission: Folder = None,
    json: Json = None,
    markdown_file: Markdown = None,
    junit_file: Junit = None,
    seed: Seed = None,
    official: Annotated[
        bool, typer.Option("--official", help="Grade as an instructor: require a sandbox and reuse no measurements.")
    ] = False,
    student: Annotated[
        str | None,
        typer.Option(
            "--student", help="The student whose questions are graded, instead of the student in student.yaml."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ignore cached measurements and measure everything again.")
    ] = False,
    commit: Commit = None,
    exit_zero: ExitZero = False,
) -> None:
    """Measure a milestone."""

    def grade_with_options(watch: ProgressWatch) -> Result:
        """Grade the milestone as the command's arguments specify."""
        return grade_milestone(
            ROOT,
            number,
            submission=submission,
            seed=seed,
            official=official,
            student=student,
            again=again,
            commit=commit,
            watch=watch,
        )

    own = submission is None and not official
    if own:
        from tito.quiz import offer_open_questions  # only on a student's own machine

        offer_open_questions(ROOT, number, CommandConsole(highlight=False, markup=False, emoji=False))
    raise typer.Exit(
        _choose_exit_code(
            _grade_and_report(grade_with_options, json, markdown_file, junit_file, own_attempt=own), exit_zero
        )
    )


@app.command("module", epilog=EXIT_CODES)
def run_module_grading(
    module_id: Annotated[str, typer.Argument(help="The module, such as 02_tensor.")],
    submission: Folder = None,
    json: Json = None,
    markdown_file: Markdown = None,
    junit_file: Junit = None,
    seed: Seed = None,
    commit: Commit = None,
    exit_zero: ExitZero = False,
) -> None:
    """Run a module's tests in a worker process, show the report, and exit with the verdict's code."""

    def grade_with_options(watch: ProgressWatch) -> Result:
        """Grade the module as the command's arguments specify."""
        return grade_module(ROOT, module_id, submission=submission, seed=seed, commit=commit, watch=watch)

    raise typer.Exit(
        _choose_exit_code(_grade_and_report(grade_with_options, json, markdown_file, junit_file), exit_zero)
    )


def _choose_exit_code(result: Result, zero_if_not_yet: bool) -> int:
    """Return the verdict's exit code, but 0 for “not yet” if ``zero_if_not_yet`` is set."""
    code = result.verdict.exit_code
    return 0 if zero_if_not_yet and code == Verdict.NOT_YET.exit_code else code


@app.command("export", epilog="Exit codes: 0 written; 2 wrong usage.")
def export_results(
    form: Annotated[ExportFormat, typer.Option("--format", help="The format to write.")],
    result: Annotated[list[Path], typer.Option("--result", metavar="FILE", help="A result record; repeatable.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file to write.")],
) -> None:
    """Write result records in the format of a gradebook or a test dashboard, as described in docs/result-format.md."""
    write_results(result, form, to, os.environ)


def _grade_and_report(
    grade: Callable[[ProgressWatch], Result],
    json: Path | None,
    markdown_file: Path | None,
    junit_file: Path | None,
    *,
    own_attempt: bool = False,
) -> Result:
    """Grade with progress shown, write requested files, record the attempt if `own_attempt`, and print the report."""
    console = CommandConsole()
    for path in (json, markdown_file, junit_file):
        if path is not None:
            require_folder(path)
    with create_watch(console) as watch:
        result = grade(watch)
    try:
        for path, render in (
            (json, record.encode_result),
            (markdown_file, render_markdown),
            (junit_file, render_junit),
        ):
            if path is not None:
                write_atomically(path, render(result).encode())
        if own_attempt:
            progress.save_event(ROOT, progress.make_attempt_event(result))
    finally:  # show the report even if the record cannot be written
        terminal_report.print_result_report(console, result)
    if words.describe_reused_measurements(result):
        console.print("To measure again, add: -- --again", markup=False, highlight=False)
    return result


def main() -> None:
    """Run the command given by this process's arguments, and exit with its code."""
    interrupted = "Interrupted. Nothing was recorded, but a milestone's finished checks are kept for the next run."
    sys.exit(run_and_get_exit_code(lambda: app(standalone_mode=False), interrupted=interrupted))


if __name__ == "__main__":
    main()
