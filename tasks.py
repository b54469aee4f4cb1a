"""Maintainers' and instructors' chores, run in the current environment (`inv --list`). Nox makes clean environments.

Instructors' chores work in a class's folder, by default `class/` (see docs/for-instructors.md).
"""

import contextlib
import functools
import inspect
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from invoke import Context, task

from grading.entry import replace_unprintable_characters, run_and_get_exit_code
from grading.errors import GraderError, UsageError

ROOT = Path(__file__).resolve().parent
replace_unprintable_characters()  # also for `inv --list`


def chore(chore_name: str, **options: Any) -> Callable[[Callable[..., int | None]], Any]:
    """Make a decorator for the chore `inv NAME`, which prints expected errors and exits with the returned code."""

    def declare_chore(function: Callable[..., int | None]) -> Any:
        """Make the chore that calls this function."""
        parameters = inspect.signature(function).parameters
        required = [name for name, one in parameters.items() if one.default is one.empty][1:]

        @functools.wraps(function)
        def run_chore(*arguments: Any, **named: Any) -> None:
            """Call the function with the typed options, and exit with its code if that is not 0."""

            def check_options_and_call() -> int | None:
                """Check the options, call the function, and translate errors of the gradebook."""
                check_options(chore_name, required, named)
                with translate_gradebook_errors():
                    return function(*arguments, **named)

            again = "Interrupted. Finished work is kept, and the same command continues from there."
            if code := run_and_get_exit_code(check_options_and_call, interrupted=again, preface=""):
                sys.exit(code)

        # With positional arguments, `inv release --help` would take `--help` for a folder instead of showing help.
        return task(run_chore, name=chore_name, positional=(), **options)

    return declare_chore


def check_options(chore_name: str, required: list[str], named: dict[str, Any]) -> None:
    """Raise UsageError if a required option is missing, or if an option was taken as another option's value."""
    for option in required:
        if named.get(option) is None:
            raise UsageError(
                f"inv {chore_name} needs --{option.replace('_', '-')}. What it means: inv {chore_name} --help"
            )
    for option, value in named.items():
        if isinstance(value, str) and value.startswith("--"):
            raise UsageError(f"--{option.replace('_', '-')} has no value before {value}. See: inv {chore_name} --help")


@contextlib.contextmanager
def translate_gradebook_errors() -> Iterator[None]:
    """Turn any error with the gradebook's file inside the block into a GraderError."""
    try:
        yield
    except (
        sqlite3.OperationalError
    ) as error:  # the file is sound, but the disk is full, the file is locked or the folder is read-only
        raise GraderError(
            f"The gradebook cannot be used right now: {error}. Finished work is kept. Is its disk full, or is another\n"
            "command using it? Try again, or choose a different folder with --folder."
        ) from None
    except sqlite3.DatabaseError as error:
        raise GraderError(
            f"The gradebook cannot be read completely: {error}. Nothing was changed. Restore it from a backup.\n"
            "If you have no backup, move the file away. `inv collect` then creates a new one, without the times of "
            "earlier pushes."
        ) from None


def require_writable_path(name: str) -> Path:
    """Return the path of a file to write; raise UsageError if it is a folder, or if its own folder does not exist."""
    from grading.files import require_folder

    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Give the name of a file in it.")
    require_folder(path)
    return path


def refuse_jobs_with_cluster(cluster: str, jobs: int) -> None:
    """Raise UsageError if both options are given, since a cluster grades as many tasks at a time as it has workers."""
    if cluster and jobs:
        raise UsageError("--jobs is only for this machine. On a cluster, the number of workers decides.")


@chore(
    "release",
    help={"to": "A folder that does not exist yet.", "force": "Replace an earlier release that has not been edited."},
)
def write_student_repository(_context: Context, to: str, force: bool = False) -> None:
    """Write the student repository: skeletons, tests, lessons, grader, command line."""
    from course.release import write_release

    report = write_release(ROOT, Path(to), force=force)
    sys.stdout.write(f"{len(report.files)} files, {report.size / 1024:.0f} KiB, written to {report.target}\n")
    if report.has_solutions:
        sys.stdout.write("The solutions are in solutions/, as `course.solutions` in milestones.yaml says.\n")
    if not report.has_workflows:
        sys.stdout.write(
            "The release has no workflows, so GitHub grades nothing yet. In milestones.yaml, set `course.grader` to\n"
            "the repository that this release will be pushed to (docs/github.md).\n"
        )


@chore(
    "classroom50",
    help={"to": "The assignment's folder, CLASSROOM/autograders/ASSIGNMENT.", "force": "Replace an earlier one."},
)
def write_classroom50_autograder(_context: Context, to: str, force: bool = False) -> None:
    """Write the autograder of an assignment for Classroom 50: autograder.py with the released course."""
    from course.classroom50_bundle import write_autograder_folder

    size = write_autograder_folder(ROOT, Path(to), force=force)
    sys.stdout.write(f"{size / 1024:.0f} KiB when packed, written to {Path(to).resolve()}\n")


@chore(
    "figures",
    iterable=["measure"],
    help={
        "measure": "First measure NAME again (times on this machine, or a long training run). May be given "
        "several times."
    },
)
def draw_lesson_pictures(_context: Context, measure: list[str] | None = None) -> None:
    """Draw the lessons' pictures from values that the solutions compute, after a solution or a picture has changed."""
    from course.figures import gallery
    from grading.manifest.loader import load_manifest

    for name in measure or ():
        gallery.run_picture_measurement(name)
    for path in gallery.write_changed_figures(ROOT, [module.id for module in load_manifest(ROOT).modules]):
        sys.stdout.write(f"{path.relative_to(ROOT).as_posix()} written\n")


@chore("answers")
def write_course_answers(_context: Context) -> None:
    """Write the course's own correct answers, after a question has changed."""
    from course.answers import write_correct_answers

    for path in write_correct_answers(ROOT):
        sys.stdout.write(f"{path.as_posix()} written\n")


@chore("pictures")
def redraw_readme_pictures(_context: Context) -> None:
    """Redraw the README's pictures; this grades milestone 1, builds a class's site, and opens a browser."""
    from website.readme_images import write_readme_images

    for path in write_readme_images(ROOT):
        sys.stdout.write(f"{path.relative_to(ROOT)} written, {path.stat().st_size / 1024:.0f} KiB\n")


FOLDER = {"folder": "The class's folder, with its roster.csv and gradebook."}


@chore(
    "rehearse",
    help={**FOLDER, "students": "The number of students, up to 12. With 6 or more, some have recorded results."},
)
def create_rehearsal_class(_context: Context, folder: str = "class", students: int = 4) -> None:
    """Create a small class on this machine, to try the other commands on."""
    from desk.class_folder import format_folder_option
    from desk.rehearsal import write_rehearsal_class as write

    path = write(ROOT, Path(folder), students)
    next_one = f"inv collect{format_folder_option(Path(folder))}"
    sys.stdout.write(f"{students} students with their repositories, and {path}. Next: {next_one}\n")


@chore(
    "roster",
    help={
        **FOLDER,
        "classroom50": "Write roster.csv from this roster of Classroom 50; requires the three options below.",
        "organisation": "The organisation's name on GitHub.",
        "classroom": "The classroom's short name.",
        "assignment": "The assignment's short name.",
    },
)
def check_or_convert_roster(
    _context: Context,
    folder: str = "class",
    classroom50: str = "",
    organisation: str = "",
    classroom: str = "",
    assignment: str = "",
) -> int:
    """Check the roster (--classroom50 writes a new one first). Show who is new, gone or renamed. Exit 1 on errors."""
    from desk import printing
    from desk.class_folder import make_class_folder
    from desk.classroom50_exchange import convert_classroom50_roster_file
    from desk.extensions import find_idle_extensions
    from desk.gradebook import FILE as BOOK
    from desk.gradebook import open_gradebook
    from desk.members import compare_roster, describe_roster_changes
    from desk.roster import FILE, check_roster
    from grading.manifest.loader import Problem, load_manifest_strictly

    left_out: tuple[Problem, ...] = ()
    if classroom50:
        left_out = convert_classroom50_roster_file(
            Path(classroom50), Path(folder, FILE), organisation, classroom, assignment
        )
        printing.print_problems(left_out)
    found = check_roster(Path(folder, FILE))
    make_class_folder(Path(folder))
    printing.print_roster_summary(found)
    printing.print_notes(find_idle_extensions(load_manifest_strictly(ROOT).deadlines, found.rows))
    if Path(folder, BOOK).is_file():
        with open_gradebook(Path(folder, BOOK)) as book:
            printing.print_notes(describe_roster_changes(compare_roster(book, found.rows), Path(folder)))
    return 1 if found.problems or left_out else 0


@chore(
    "rename",
    help={
        **FOLDER,
        "old": "The old id, which is no longer on the roster.",
        "new": "The new id, which is on the roster.",
    },
)
def rename_enrolled_student(_context: Context, old: str, new: str, folder: str = "class") -> None:
    """Move the results, pushes and overrides of a student who has a new id."""
    from desk.members import rename_student
    from desk.roster import FILE, read_roster

    moved = rename_student(Path(folder), read_roster(Path(folder, FILE)).rows, old, new)
    sys.stdout.write(f"{moved} results moved from {old} to {new}.\n")


@chore(
    "collect",
    help={
        **FOLDER,
        "jobs": "The number of submissions to grade at the same time; by default, the number of cores.",
        "cluster": "Grade on the workers of this Dask scheduler: its address, or the file that it has written.",
        "only": "fetch: only fetch, without running any code. grade: only grade what was fetched, without contacting "
        "any server.",
        "shard": "Process only this part of the class, such as 3/12.",
        "plan-matrix": "Only print the shards to be graded, as a matrix for GitHub Actions.",
        "exit-zero": "Exit with 0 even if somebody was left out, so that a workflow continues.",
    },
)
def collect_submissions(
    _context: Context,
    folder: str = "class",
    jobs: int = 0,
    only: str = "",
    shard: str = "",
    plan_matrix: bool = False,
    exit_zero: bool = False,
    cluster: str = "",
) -> int:
    """Fetch every student's repository, grade what changed, and save the results. Exit 1 if somebody was left out."""
    from desk import printing
    from desk.activity import PushSourceChain
    from desk.collect import collect_class as run
    from desk.collect import count_pending_work
    from desk.members import describe_roster_changes
    from desk.regrade import describe_course_change
    from desk.roster import FILE, read_roster
    from desk.shards import encode_shard_matrix, output_shard_matrix, select_shard_students
    from grading.render.progress_watch import create_watch
    from tito.console import open_console

    refuse_jobs_with_cluster(cluster, jobs)
    rows, here = read_roster(Path(folder, FILE)).rows, Path(folder)
    if only not in ("", "fetch", "grade"):
        raise UsageError(f"--only must be fetch or grade, not {only}.")
    if plan_matrix:
        output_shard_matrix(encode_shard_matrix(count_pending_work(ROOT, here, rows)), os.environ)
        return 0
    printing.print_notes(describe_course_change(ROOT, here))
    with create_watch(open_console()) as watch:
        found = run(
            ROOT,
            here,
            rows,
            PushSourceChain(os.environ),
            watch,
            base=here,
            jobs=jobs or None,
            students=select_shard_students(rows, shard) if shard else None,
            fetch=only != "grade",
            grade=only != "fetch",
            cluster=cluster,
        )
    printing.print_notes(describe_roster_changes(found.roster, here))
    printing.print_collection(found)
    return 1 if found.troubles and not exit_zero else 0


@chore(
    "regrade",
    help={
        **FOLDER,
        "preview": "Only show whose grades would change; nothing is decided.",
        "keep-better": "The better of the earlier and the new grade counts.",
        "pin": "Keep every grade as it is; nothing is graded.",
        "csv": "Write the changes to this CSV file.",
        "to": "Write the changes as a page.",
        "by": "Who decides; by default, the user of this machine.",
        "jobs": "The number of submissions to grade at the same time; by default, the number of cores.",
        "cluster": "Grade on the workers of this Dask scheduler: its address, or the file that it has written.",
    },
)
def regrade_submissions(
    _context: Context,
    folder: str = "class",
    preview: bool = False,
    keep_better: bool = False,
    pin: bool = False,
    csv: str = "",
    to: str = "",
    by: str = "",
    jobs: int = 0,
    cluster: str = "",
) -> int:
    """Grade again what an earlier version of the course graded, and show whose grades change. Exit 1 on failure."""
    from desk import printing
    from desk.regrade import regrade_class as run
    from desk.regrade_page import format_regrade_csv, render_regrade_for_terminal, render_regrade_page
    from desk.roster import FILE, read_roster
    from grading.files import write_atomically
    from grading.render.progress_watch import create_watch
    from tito.console import open_console

    if pin and keep_better:
        raise UsageError("--pin keeps every grade, and --keep-better keeps the better of two. Choose one of them.")
    refuse_jobs_with_cluster(cluster, jobs)
    here, files = Path(folder), [require_writable_path(name) for name in (csv, to) if name]
    with create_watch(open_console()) as watch:
        found = run(
            ROOT,
            here,
            read_roster(here / FILE).rows,
            watch,
            policy="pin" if pin else "keep_better" if keep_better else "replace",
            preview=preview,
            by=by,
            jobs=jobs or None,
            cluster=cluster,
        )
    for path in files:
        text = render_regrade_page(found, preview=preview) if to and path == Path(to) else format_regrade_csv(found)
        write_atomically(path, text.encode())
    printing.print_student_problems(found.troubles)
    for part in render_regrade_for_terminal(found, preview=preview):
        open_console().print(part)
    return 1 if found.troubles else 0


@chore(
    "override",
    help={
        **FOLDER,
        "student": "The student whose grade to override; without this option, every override is listed.",
        "milestone": "The milestone whose grade to override.",
        "points": "The points that replace the measured ones, 0 to 100.",
        "bonus": "Points to add; a negative number takes points off.",
        "excused": "Excuse the student, so that the grade does not count at all.",
        "comment": "A sentence for the student.",
        "why": "The reason, for you and anyone who asks later; required.",
        "by": "Who decides; by default, the user of this machine.",
        "take-back": "Withdraw every override of this grade, so that the measured points count again.",
        "from-csv": "Read overrides from a CSV file with the columns that --to-csv writes.",
        "to-csv": "Write the overrides to a CSV file.",
    },
)
def override_grade(
    _context: Context,
    folder: str = "class",
    student: str = "",
    milestone: int = 0,
    points: str = "",
    bonus: str = "",
    excused: bool = False,
    comment: str = "",
    why: str = "",
    by: str = "",
    take_back: bool = False,
    from_csv: str = "",
    to_csv: str = "",
) -> None:
    """Set a grade by hand: points, a bonus, an excuse or a comment. No collection or regrade changes it."""
    from desk import overrides, printing
    from desk.decisions import Kind
    from desk.gradebook import FILE, open_gradebook

    here = Path(folder)
    if from_csv:
        changed = overrides.import_overrides_csv(ROOT, here, Path(from_csv), by)
        sys.stdout.write(f"{changed} grades overridden.\n")
    elif student and take_back:
        count = overrides.withdraw_grade_overrides(here, student, milestone, why, by)
        sys.stdout.write(f"{count} overrides of {student}, milestone {milestone}, withdrawn.\n")
    elif student:
        given: dict[Kind, str] = {"points": points, "bonus": bonus, "comment": comment, "excused": "yes" * excused}
        values = {kind: value for kind, value in given.items() if value}
        overrides.set_override(ROOT, here, student, milestone, values, why, by)
    if to_csv:
        written = overrides.write_overrides_csv(here, require_writable_path(to_csv))
        sys.stdout.write(f"{written} grades, written to {to_csv}\n")
    with open_gradebook(here / FILE) as book:
        printing.print_overrides(overrides.list_overrides(book))


@chore(
    "feedback",
    help={
        **FOLDER,
        "send": "Open and update the issues; without this option, nothing is sent.",
        "to": "Also write each student's text to this folder, to read or for students without a GitHub repository.",
        "author": "The account of an app's GITHUB_TOKEN; only issues opened by this account are updated.",
    },
)
def send_or_write_feedback(
    _context: Context, folder: str = "class", send: bool = False, to: str = "", author: str = ""
) -> int:
    """Compare each student's issue with their results and, with --send, open or update it. Exit 1 for a problem."""
    from desk import printing
    from desk.feedback import sync_feedback_issues
    from desk.roster import FILE, read_roster
    from grading.render.progress_watch import create_watch
    from tito.console import open_console

    here, files = Path(folder), Path(to) if to else None
    rows = read_roster(here / FILE).rows
    with create_watch(open_console()) as watch:
        found = sync_feedback_issues(ROOT, here, rows, os.environ, watch, send=send, author=author, text_folder=files)
    printing.print_feedback(found, send=send, to=files)
    if found.stopped is not None:
        raise GraderError(f"{found.stopped}\nWhat was sent is kept. The same command continues from there.")
    return 1 if found.troubles else 0


@chore(
    "resume", help={**FOLDER, "workflow": "The file of a workflow, such as collect.yml; by default, this workflow's."}
)
def fetch_last_gradebook(_context: Context, folder: str = "class", workflow: str = "") -> None:
    """In a workflow: download the gradebook of its, or another's, last run, and merge it into the class's own."""
    from desk.resume import resume_gradebook as begin

    run = begin(Path(folder), os.environ, workflow)
    sys.stdout.write(
        "No earlier run has a gradebook.\n" if run is None else f"Started with the gradebook of run {run}.\n"
    )


@chore("merge", help={**FOLDER, "shards": "The folder that holds the shards' gradebooks, at any depth."})
def merge_shard_gradebooks(_context: Context, shards: str, folder: str = "class") -> None:
    """Merge gradebooks from other machines into the class's own; merging twice changes nothing."""
    from desk.collect import FILE
    from desk.shards import find_gradebooks
    from desk.shards import merge_gradebooks as add

    found = find_gradebooks(Path(shards))
    new = add(Path(folder, FILE), found)
    sys.stdout.write(f"{len(found)} gradebooks merged, {new} new results.\n")


@chore(
    "gradebook",
    help={
        **FOLDER,
        "format": "csv, canvas, moodle or classroom50.",
        "to": "The file to write; for classroom50, scores are added to an existing scores.json.",
        "classroom": "For classroom50: the classroom's short name.",
        "assignment": "For classroom50: the assignment's short name.",
        "milestone": "Only this milestone.",
        "participants": "For moodle: the list of participants that Moodle exports; everyone else is left out.",
    },
)
def export_gradebook(
    _context: Context,
    to: str,
    format: str = "csv",  # noqa: A002 - the option's name
    folder: str = "class",
    classroom: str = "",
    assignment: str = "",
    milestone: int = 0,
    participants: str = "",
) -> None:
    """Write everybody's scores for another system to import, and report anyone who has to be left out."""
    from desk import printing
    from desk.score_export import export_scores

    written = export_scores(
        ROOT,
        Path(folder),
        format,
        require_writable_path(to),
        classroom=classroom,
        assignment=assignment,
        milestone=milestone or None,
        participants=Path(participants) if participants else None,
    )
    printing.print_notes(written.notes)
    sys.stdout.write(f"{written.students} students, written to {to}\n")


@chore(
    "report",
    help={
        **FOLDER,
        "to": "The page to write, with a folder of evidence next to it; without this option, only tables are shown.",
    },
)
def show_class_report(_context: Context, folder: str = "class", to: str = "") -> None:
    """Show how far everybody has got, who is stuck and what fails most often; with --to, also write it as a page."""
    from desk.class_report import build_class_report as of
    from desk.courses import build_course_version
    from desk.evidence_pages import write_evidence_pages
    from desk.gradebook import FILE, open_gradebook
    from desk.report_page import render_report_for_terminal, render_report_page
    from grading.files import write_atomically
    from grading.manifest.loader import load_manifest_strictly
    from tito.console import open_console

    path = require_writable_path(to) if to else None
    with open_gradebook(Path(folder, FILE)) as book:
        manifest = load_manifest_strictly(ROOT)
        found = of(book, manifest, build_course_version(ROOT, manifest))
        if path is not None:
            write_evidence_pages(book, found, path.with_name(f"{path.stem}-evidence"), path.name)
            write_atomically(path, render_report_page(found, evidence=f"{path.stem}-evidence").encode())
    for part in render_report_for_terminal(found):
        open_console().print(part)


@chore(
    "leaderboard",
    help={
        **FOLDER,
        "runs": "The number of runs for each submission on this machine; 0 just shows the leaderboard.",
        "milestone": "Only this milestone.",
    },
)
def measure_leaderboard(_context: Context, folder: str = "class", runs: int = 3, milestone: int = 0) -> int:
    """Measure up to --runs times what students who agreed have unlocked; print the ranking. Exit 1 if any failed."""
    from desk import printing
    from desk.gradebook import FILE, open_gradebook
    from desk.leaderboard import rank_boards, run_leaderboard
    from grading.render.progress_watch import create_watch
    from tito.console import open_console

    with create_watch(open_console()) as watch:
        only = (milestone,) if milestone else ()
        troubles = run_leaderboard(ROOT, Path(folder), watch, runs=runs, milestones=only)
    printing.print_notes(troubles)
    with open_gradebook(Path(folder, FILE)) as book:
        printing.print_rankings(tuple(rank_boards(book)), Path(folder))
    return 1 if troubles else 0


@chore(
    "similar",
    iterable=["against"],
    help={
        **FOLDER,
        "to": "The page to write.",
        "against": "The folder of another class to compare with, such as last year's. May be given several times.",
    },
)
def find_similar_code(_context: Context, to: str, folder: str = "class", against: list[str] | None = None) -> None:
    """Compare what students in a class folder have handed in, and write similar pairs side by side to a page."""
    from desk.similar_page import write_similarity_page
    from grading.render.progress_watch import create_watch
    from tito.console import open_console

    with create_watch(open_console()) as watch:
        pairs = write_similarity_page(
            ROOT, Path(folder), require_writable_path(to), watch, [Path(name) for name in against or ()]
        )
    sys.stdout.write(f"{len(pairs)} pairs, written to {to}\n")


@chore("doctor", help=FOLDER)
def run_class_doctor(_context: Context, folder: str = "class") -> int:
    """Report what you still need to run a class, here or on GitHub, and how to fix it. Exit 3 if anything is wrong."""
    from desk.class_doctor import DeskContext, run_class_checks
    from tito.doctor import show_findings

    findings = list(run_class_checks(DeskContext(ROOT, Path(folder), os.environ)))
    show_findings(findings, "Everything a class needs is in place.")
    return 3 if any(finding.ok is False for finding in findings) else 0


@chore(
    "site",
    iterable=["leave_out"],
    help={
        **FOLDER,
        "to": "The folder to write to: a new one, or that of an earlier site.",
        "records": "Use a folder with one folder for each student, each containing progress/, instead of a gradebook.",
        "roster": "With --records: a CSV file of the class. Without it, everybody with a folder is in the class.",
        "base-url": "The address that the site will be served at, which link previews and feeds need.",
        "sections": "List each section's students; without this option, the site does not show sections.",
        "leave-out": "The id of a student who must not appear on the site. May be given several times.",
    },
)
def build_class_site(
    _context: Context,
    to: str,
    folder: str = "class",
    records: str = "",
    roster: str = "",
    base_url: str = "",
    sections: bool = False,
    leave_out: list[str] | None = None,
) -> None:
    """Write the class's site: timelines, portfolios, overview, lessons. Unchanged parts are not rebuilt."""
    from desk.gradebook import FILE
    from website.build import build_site
    from website.class_sources import FolderSource, GradebookSource

    source = (
        FolderSource(Path(records), Path(roster) if roster else None)
        if records
        else GradebookSource(Path(folder, FILE))
    )
    done = build_site(source, Path(to), base_url=base_url or None, left_out=leave_out or (), sections=sections)
    sys.stdout.write(
        f"{done.students} students, {done.rendered} rendered; {done.files} files in {to}, "
        f"{done.written} written, {done.removed} removed\n"
    )
