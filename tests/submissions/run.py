"""How a miniature is graded: what is typed, and in which environment."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTIAL = ("taken", "patience", "experiment", "images", "modules", "tasks")
"""What an about.yaml may say to `partial.py`."""


def build_grading_command(about: dict[str, Any], peak: Path) -> list[str]:
    """The grader's own command line, with some checks taken as passed; its peak of memory is written to ``peak``."""
    how = {key: about[key] for key in PARTIAL if key in about} | {"peak": str(peak)}
    start = ["tests.submissions.partial", json.dumps(how)]
    what = ["module", about["module"]] if "module" in about else ["milestone", str(about.get("milestone", 1))]
    who = ["--student", about["student"]] if "student" in about else []
    return [sys.executable, "-P", "-m", *start, *what, "--seed", str(about.get("seed", 20)), *who]


def build_offline_environment(home: Path) -> dict[str, str]:
    """An environment without data sets, in which every download fails at once."""
    nowhere = "http://127.0.0.1:9"
    home = home / "home"
    return {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TINYTORCH_DATA": "",
        "https_proxy": nowhere,
        "http_proxy": nowhere,
    }


class GraderServer:
    """A process that has imported the grader, and grades in a fork of itself for each command line."""

    def __init__(self, root: Path) -> None:
        """Start the process as `build_grading_command` does."""
        self._root = root
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        """Start a process that waits for command lines."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.submissions.partial", "serve"],
            env=os.environ | {"PYTHONPATH": str(self._root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, command: list[str], *, cwd: Path, environment: Mapping[str, str], folder: Path, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line of `build_grading_command`, and return its exit code and the output, kept in a folder."""
        outputs = [folder / "stdout", folder / "stderr"]
        arguments = command[command.index("tests.submissions.partial") + 1 :]
        request = {"cwd": str(cwd), "environment": dict(environment), "outputs": list(map(str, outputs))}
        print(json.dumps(request | {"arguments": arguments}), file=self._process.stdin, flush=True)
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            self._process.kill()  # its late answer must not count for the next command
            self._process = self._start()
            raise subprocess.TimeoutExpired(command, timeout)
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(command, code, *(path.read_text("utf-8") for path in outputs))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
