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


@task(help={"to": "The assignment's folder, CLASSROOM/autograders/ASSIGNMENT.", "force": "Replace an earlier one."})
def classroom50(_context: Context, to: str, force: bool = False) -> None:
    """Write the autograder of an assignment for Classroom 50: autograder.py, and the released course beside it."""
    from course.classroom50 import write_bundle
    from grading.errors import UsageError

    if to.startswith("-"):
        sys.stderr.write(f"{to} is no folder. Use: inv classroom50 --to DIR [--force]\n")
        sys.exit(2)
    try:
        size = write_bundle(ROOT, Path(to), force=force)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(f"{size / 1024:.0f} KiB when packed, written to {Path(to).resolve()}\n")


@task
def answers(_context: Context) -> None:
    """Write the course's own right answers, after a question has changed."""
    from course.answers import write_answers

    for path in write_answers(ROOT):
        sys.stdout.write(f"{path.as_posix()} written\n")
