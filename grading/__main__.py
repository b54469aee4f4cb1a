"""`python -m grading`: what the nox sessions run. Parses, grades, renders, and tells by its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grading import progress
from grading.entry import run_command
from grading.export.write import Format, write
from grading.files import require_folder, write_atomically
from grading.grade import grade_milestone, grade_module
from grading.render import record, terminal, words
from grading.render.junit import junit
from grading.render.markdown import markdown
from grading.render.progress import Watch, watch_for
from grading.result import Result, Verdict

ROOT = Path(__file__).resolve().parent.parent
EXIT_CODES = "Exit codes: 0 unlocked, provisional or passed; 1 not yet; 2 wrong usage; 3 grader or machine error."

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, rich_markup_mode=None, epilog=EXIT_CODES
)

Folder = Annotated[
    Path | None, typer.Option("--submission", metavar="DIR", help="Grade this tree instead of this one.")
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result record there.")]
Markdown = Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write the report as Markdown.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML.")]
Commit = Annotated[
    str | None, typer.Option("--commit", metavar="SHA", help="Which commit this tree is, for the record.")
]
ExitZero = Annotated[bool, typer.Option("--exit-zero", help="“Not yet” is an answer, too: exit 0 for it.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, max=2**31 - 1, help="Run again what a report names.")]


@app.command(epilog=EXIT_CODES)
def milestone(
    number: Annotated[int, typer.Argument(help="Which milestone, 1 to 5.")],
    submission: Folder = None,
    json: Json = None,
    markdown_file: Markdown = None,
    junit_file: Junit = None,
    seed: Seed = None,
    official: Annotated[
        bool, typer.Option("--official", help="As an instructor grades: a sandbox is required, nothing is reused.")
    ] = False,
    student: Annotated[
        str | None, typer.Option("--student", help="Whose questions these are, instead of what student.yaml says.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure again what is kept of earlier runs.")] = False,
    commit: Commit = None,
    exit_zero: ExitZero = False,
) -> None:
    """Measure a milestone."""

    def grade(watch: Watch) -> Result:
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
        from tito.quiz import ask_open_questions  # at a student's desk alone

        ask_open_questions(ROOT, number, Console(highlight=False, markup=False, emoji=False))
    raise typer.Exit(_exit_code(_run(grade, json, markdown_file, junit_file, own_attempt=own), exit_zero))


@app.command(epilog=EXIT_CODES)
def module(
    module_id: Annotated[str, typer.Argument(help="Which module, such as 02_tensor.")],
    submission: Folder = None,
    json: Json = None,
    markdown_file: Markdown = None,
    junit_file: Junit = None,
    seed: Seed = None,
    commit: Commit = None,
    exit_zero: ExitZero = False,
) -> None:
    """Run a module's tests through a worker."""

    def grade(watch: Watch) -> Result:
        return grade_module(ROOT, module_id, submission=submission, seed=seed, commit=commit, watch=watch)

    raise typer.Exit(_exit_code(_run(grade, json, markdown_file, junit_file), exit_zero))


def _exit_code(result: Result, exit_zero: bool) -> int:
    """The verdict's; where the record itself is the answer, only an error is a failure of the command."""
    code = result.verdict.exit_code
    return 0 if exit_zero and code == Verdict.NOT_YET.exit_code else code


@app.command("export", epilog="Exit codes: 0 written; 2 wrong usage.")
def export_results(
    form: Annotated[Format, typer.Option("--format", help="What to write.")],
    result: Annotated[list[Path], typer.Option("--result", metavar="FILE", help="A result record; repeatable.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where to write it.")],
) -> None:
    """Write result records in the format of a gradebook or a test dashboard; docs/result-format.md describes them."""
    write(result, form, to, os.environ)


def _run(
    grade: Callable[[Watch], Result],
    json: Path | None,
    markdown_file: Path | None,
    junit_file: Path | None,
    *,
    own_attempt: bool = False,
) -> Result:
    """Grade with a moving display, write the files asked for, and show the report: whatever a terminal does, last."""
    console = Console()
    for path in (json, markdown_file, junit_file):
        if path is not None:
            require_folder(path)
    with watch_for(console) as watch:
        result = grade(watch)
    try:
        for path, render in ((json, record.to_json), (markdown_file, markdown), (junit_file, junit)):
            if path is not None:
                write_atomically(path, render(result).encode())
        if own_attempt:
            progress.record(ROOT, progress.attempt(result))
    finally:  # a disk that takes no record is no reason to keep the report back
        terminal.show(console, result)
    if words.describe_kept(result):
        console.print("To measure again, add: -- --again", markup=False, highlight=False)
    return result


def main() -> None:
    """Run the command."""
    interrupted = "Interrupted: nothing was recorded. Checks of a milestone that had ended are kept for the next run."
    sys.exit(run_command(lambda: app(standalone_mode=False), interrupted=interrupted))


if __name__ == "__main__":
    main()
