#!/usr/bin/env python3
"""Classroom 50's autograder for TinyTorch: grades the checkout it is started in and writes `result.json` there.

The course that grades lies beside this file, in `course/`; nothing of the checkout is imported or run but the student's
own modules, and those in the sandbox. What is graded follows from the assignment's name: one that holds `milestone-2`
is milestone 2, one that holds `module-03` is module 03. Only the standard library is needed to start it.

Exit code 0: graded, and `result.json` says how. Any other: the grader could not do its work, and no student failed.
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
    """Grade, export, and tell the runner by the exit code whether that went well."""
    checkout = Path.cwd()
    os.chdir(COURSE)  # what Python finds in the folder it works in, it may import
    session = session_of(os.environ.get("ASSIGNMENT", ""))
    with tempfile.TemporaryDirectory(prefix="tinytorch-") as folder:
        nox = install_nox(Path(folder) / "environment")
        record = Path(folder) / "record.json"
        if run(*nox, "-s", "github", "--", "sandbox"):
            return fail("There is no sandbox on this runner, and student code is not run without one.")
        options = ["--submission", str(checkout), "--json", str(record)]
        options += ["--markdown", str(checkout / "release-body.md")]
        if session.startswith("milestone-"):
            options.append("--official")
        if re.fullmatch("[0-9a-f]{40}", os.environ.get("GITHUB_SHA", "")):
            options += ["--commit", os.environ["GITHUB_SHA"]]
        # "Not yet" is an exit code, too: whether it was graded is known by the record.
        code = run(*nox, "-s", session, "--", *options)
        if not record.is_file():
            return fail(f"{session} left no record; nox ended with {code}.")
        if json.loads(record.read_bytes())["verdict"] == "error":
            return fail(f"{session} could not be judged: see the report above. Run it again.")
        export = ["--format", "classroom50", "--result", str(record), "--to", str(checkout / "result.json")]
        if run(*nox, "-s", "export", "--", *export):
            return fail("The record could not be written as result.json.")
    return 0


def session_of(assignment: str) -> str:
    """The nox session of an assignment's name; ends the program when it names none."""
    if found := re.search(r"milestone-([1-9])(?!\d)", assignment):
        return f"milestone-{found[1]}"
    if found := re.search(r"module-(\d\d)(?!\d)", assignment):
        folders = sorted(COURSE.glob(f"modules/{found[1]}_*"))
        if len(folders) == 1:
            return f"module-{folders[0].name}"
    sys.exit(fail(f"The assignment {assignment!r} names no milestone-N or module-NN of the course. Rename it."))


def install_nox(folder: Path) -> list[str]:
    """An environment with nox, and how it is called: isolated, so that neither variables nor folders add modules."""
    venv.create(folder, with_pip=True)
    python = [str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")), "-I", "-m"]
    if run(*python, "pip", "install", "--quiet", "--disable-pip-version-check", "nox[uv]"):
        sys.exit(fail("nox could not be installed on this runner."))
    return [*python, "nox", "-f", str(COURSE / "noxfile.py")]


def run(*command: str) -> int:
    """Run a command of ours; its exit code."""
    return subprocess.run(command, check=False).returncode  # noqa: S603 - nothing in it is a student's


def fail(reason: str) -> int:
    """Say why, for the log and its annotations."""
    print(f"::error::{reason!a}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
