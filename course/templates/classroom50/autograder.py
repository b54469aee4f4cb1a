#!/usr/bin/env python3
"""Classroom 50's autograder for TinyTorch: grade the checkout in the working folder and write `result.json` there.

The course that does the grading is next to this file, in `course/`. The autograder imports and runs only the student's
own modules from the checkout, and only in the sandbox. The assignment's name decides what is graded: `milestone-2` in
the name means milestone 2, and `module-03` means module 03. Only the standard library is needed to start the
autograder.

Exit code 0 means that the checkout was graded, with the outcome in `result.json`. Any other code means that the grader
failed, not the student.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

COURSE = Path(__file__).resolve().parent / "course"


def main() -> int:
    """Grade the checkout and export the result. Return 0 if it was judged, passed or not, and otherwise 1."""
    checkout = Path.cwd()
    os.chdir(COURSE)  # Python may import from its working folder
    session = find_session(os.environ.get("ASSIGNMENT", ""))
    with tempfile.TemporaryDirectory(prefix="tinytorch-") as folder:
        nox = install_nox(Path(folder) / "environment")
        record = Path(folder) / "record.json"
        if run_command(*nox, "-s", "github", "--", "sandbox"):
            return report_failure("This runner has no sandbox, and student code never runs without one.")
        options = ["--submission", str(checkout), "--json", str(record)]
        options += ["--markdown", str(checkout / "release-body.md")]
        if session.startswith("milestone-"):
            options.append("--official")
        if re.fullmatch("[0-9a-f]{40}", os.environ.get("GITHUB_SHA", "")):
            options += ["--commit", os.environ["GITHUB_SHA"]]
        # "Not yet" also sets an exit code; only the record shows whether the submission was graded.
        code = run_command(*nox, "-s", session, "--", *options)
        if not record.is_file():
            return report_failure(f"{session} wrote no record; nox exited with code {code}.")
        if json.loads(record.read_bytes())["verdict"] == "error":
            return report_failure(f"{session} could not be judged. See the report above and run the autograder again.")
        export = ["--format", "classroom50", "--result", str(record), "--to", str(checkout / "result.json")]
        if run_command(*nox, "-s", "export", "--", *export):
            return report_failure("The record could not be written as result.json.")
    return 0


def find_session(assignment: str) -> str:
    """Return the nox session that an assignment's name selects; exit if it selects none."""
    if found := re.search(r"milestone-([1-9])(?!\d)", assignment):
        return f"milestone-{found[1]}"
    if found := re.search(r"module-(\d\d)(?!\d)", assignment):
        folders = sorted(COURSE.glob(f"modules/{found[1]}_*"))
        if len(folders) == 1:
            return f"module-{folders[0].name}"
    sys.exit(report_failure(f"The assignment {assignment!r} contains no milestone-N or module-NN. Rename it."))


def install_nox(folder: Path) -> list[str]:
    """Install nox into a new environment and return its command, isolated from other modules; exit if that fails."""
    venv.create(folder, with_pip=True)
    python = [str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")), "-I", "-m"]
    if run_command(*python, "pip", "install", "--quiet", "--disable-pip-version-check", "nox[uv]"):
        sys.exit(report_failure("nox could not be installed on this runner."))
    return [*python, "nox", "-f", str(COURSE / "noxfile.py")]


def run_command(*command: str) -> int:
    """Run one of our own commands and return its exit code."""
    return subprocess.run(command, check=False).returncode  # noqa: S603 - nothing in it comes from a student


def report_failure(reason: str) -> int:
    """Print the reason for the log and its annotations, and return the exit code for a failure."""
    print(f"::error::{reason!a}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
