"""Maintainers' chores in the current environment: `inv --list`. Checks in clean environments are nox's."""

import sys
from pathlib import Path

from invoke import Context, task

ROOT = Path(__file__).resolve().parent


@task(
    help={"to": "A folder that does not exist yet.", "force": "Replace an earlier release that is as it was written."}
)
def release(_context: Context, to: str, force: bool = False) -> None:
    """Write the student repository: skeletons, tests, lessons, grader, command line."""
    from course.release import write_release
    from course.skeleton import SkeletonError
    from grading.errors import UsageError
    from grading.manifest.load import ManifestError

    if to.startswith("-"):
        sys.stderr.write(f"{to} is no folder. Use: inv release --to DIR [--force]\n")
        sys.exit(2)
    try:
        report = write_release(ROOT, Path(to), force=force)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except (ManifestError, SkeletonError) as error:
        sys.stderr.write(f"{error}\nNothing was written.\n")
        sys.exit(1)
    sys.stdout.write(f"{len(report.files)} files, {report.size / 1024:.0f} KiB, written to {report.target}\n")


@task
def answers(_context: Context) -> None:
    """Write the course's own right answers, after a question has changed."""
    from course.answers import write_answers

    for path in write_answers(ROOT):
        sys.stdout.write(f"{path.as_posix()} written\n")


@task(
    iterable=["leave_out"],
    help={
        "records": "A folder with one folder for each student, each with its progress/.",
        "to": "Where the site is written; a folder that does not exist yet, or an earlier site.",
        "roster": "A CSV file of the class; without it everybody with a folder is in the class, under a pseudonym.",
        "base-url": "Where the site will be served: previews of links and feeds need whole addresses.",
        "leave-out": "The id of a student of whom the site is to show nothing. May be given several times.",
    },
)
def site(
    _context: Context,
    records: str,
    to: str,
    roster: str | None = None,
    base_url: str | None = None,
    leave_out: list[str] | None = None,
) -> None:
    """Write the class's site: timelines, portfolios, overview, lessons. What has not changed is not made again."""
    from grading.errors import UsageError
    from grading.manifest.load import ManifestError

    try:
        from website.build import build
        from website.source import Folder
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error.name} is not installed. Run: pip install -e . --group course --group desk\n")
        sys.exit(3)
    try:
        source = Folder(Path(records), Path(roster) if roster else None)
        done = build(source, Path(to), base_url=base_url, left_out=leave_out or ())
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except ManifestError as error:
        sys.stderr.write(f"{error}\nNothing was written.\n")
        sys.exit(1)
    sys.stdout.write(
        f"{done.students} students, {done.rendered} rendered; {done.files} files in {to}, "
        f"{done.written} written, {done.removed} removed\n"
    )
